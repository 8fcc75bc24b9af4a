#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "graphgpo/columns.hpp"
#include "graphgpo/key.hpp"

namespace graphgpo {
namespace {

TEST(Key, ValuesOfDifferentKindsAreNeverEqual) {
    const std::vector<Key> ones = {
        Key::integer(1),
        Key::word(KeyKind::boolean, 1),
        Key::word(KeyKind::real, 0x3ff0000000000000),
        Key::view(KeyKind::text, "1"),
        Key::view(KeyKind::bytes, "1"),
        Key(),
    };
    for (std::size_t i = 0; i < ones.size(); ++i) {
        for (std::size_t j = 0; j < ones.size(); ++j) {
            EXPECT_EQ(ones[i] == ones[j], i == j) << i << " " << j;
        }
    }
}

TEST(Key, EqualBytesInDifferentPlacesAreEqual) {
    const std::string here = "a long observation";
    const std::string there = here;
    ASSERT_NE(here.data(), there.data());
    EXPECT_EQ(Key::view(KeyKind::text, here), Key::view(KeyKind::text, there));
    EXPECT_EQ(hash_key(Key::view(KeyKind::text, here), kStableSecret),
              hash_key(Key::view(KeyKind::text, there), kStableSecret));
}

TEST(Key, APrefixIsNotEqual) {
    EXPECT_NE(Key::view(KeyKind::text, "hall"), Key::view(KeyKind::text, "hal"));
    EXPECT_NE(Key::view(KeyKind::text, ""), Key());
}

TEST(Columns, ARowOfANumericColumnHasTheStableKeyOfTheArrayAlone) {
    const std::vector<std::int64_t> shape = {3};
    const std::string header = array_header('i', 2, shape);
    const std::vector<std::int16_t> boards = {1, 2, 3, 4, 5, 6};
    const NumericRows column{.data = reinterpret_cast<const char*>(boards.data()),
                             .num_rows = 2,
                             .row_bytes = 6,
                             .header = header};
    const std::string alone =
        std::string(1, static_cast<char>(header.size())) + header + std::string(column.data + 6, 6);
    EXPECT_EQ(stable_key(KeyColumn(column), 1), stable_key(Key::view(KeyKind::array, alone)));
    EXPECT_NE(stable_key(KeyColumn(column), 0), stable_key(KeyColumn(column), 1));
}

TEST(Columns, TheHeaderTellsTypesAndShapesApart) {
    const std::vector<std::int64_t> flat = {4};
    const std::vector<std::int64_t> square = {2, 2};
    EXPECT_NE(array_header('i', 4, flat), array_header('u', 4, flat));
    EXPECT_NE(array_header('i', 4, flat), array_header('i', 8, flat));
    EXPECT_NE(array_header('i', 4, flat), array_header('i', 4, square));
    const std::vector<std::int64_t> wide = {1, 4};
    const std::vector<std::int64_t> tall = {4, 1};
    EXPECT_NE(array_header('i', 4, wide), array_header('i', 4, tall));
}

}  // namespace
}  // namespace graphgpo
