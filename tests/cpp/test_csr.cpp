#include <gtest/gtest.h>

#include "graphgpo/csr.hpp"
#include "graphgpo/memory.hpp"

namespace graphgpo {
namespace {

Array<std::int32_t> row(const Csr& csr, std::int32_t r) {
    return {csr.row(r).begin(), csr.row(r).end()};
}

TEST(Csr, ListsItemsUnderTheirRowsInAscendingOrder) {
    const Csr csr = group_by_row(Array<std::int32_t>{2, 0, 2, none, 0, 2}, 4);
    ASSERT_EQ(csr.num_rows(), 4u);
    EXPECT_EQ(row(csr, 0), (Array<std::int32_t>{1, 4}));
    EXPECT_TRUE(csr.row(1).empty());
    EXPECT_EQ(row(csr, 2), (Array<std::int32_t>{0, 2, 5}));
    EXPECT_TRUE(csr.row(3).empty());
}

TEST(Csr, RowsThatAscendAfterItemsOfNoRowAreListedToo) {
    const Csr csr = group_by_row(Array<std::int32_t>{none, none, 0, 1, 1}, 2);
    EXPECT_EQ(row(csr, 0), (Array<std::int32_t>{2}));
    EXPECT_EQ(row(csr, 1), (Array<std::int32_t>{3, 4}));
    EXPECT_EQ(csr.items.size(), 3u);
}

TEST(Csr, NoRowsAndNoItemsAreLegal) {
    EXPECT_EQ(group_by_row({}, 0).num_rows(), 0u);
    EXPECT_TRUE(group_by_row({}, 3).row(2).empty());
}

}  // namespace
}  // namespace graphgpo
