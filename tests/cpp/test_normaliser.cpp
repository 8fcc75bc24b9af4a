#include <gtest/gtest.h>

#include <string>

#include "graphgpo/states/normaliser.hpp"

namespace graphgpo {
namespace {

constexpr NoiseClasses timestamps{.timestamps = true};
constexpr NoiseClasses whitespace{.whitespace = true};
constexpr NoiseClasses all_classes{true, true, true, true, true, true};

TEST(Normaliser, TagsEveryClass) {
    EXPECT_EQ(normalise_text("[2026-11-28 10:03:17] step 3/14 session=9f3ade12 \n"
                             "id 550e8400-e29b-41d4-a716-446655440000 at http://a.b/c?d=1. \n",
                             all_classes),
              "[<time>] step <num>/<num> session=<hex>\nid <uuid> at <url>.");
}

TEST(Normaliser, LeavesATextAsItIsWithoutClasses) {
    EXPECT_EQ(normalise_text("10:03:17 0x1f 12 \n", {}), "10:03:17 0x1f 12 \n");
    EXPECT_EQ(normalise_text("", all_classes), "");
}

TEST(Normaliser, KnowsTheClocksOfLogs) {
    for (const char* text :
         {"2026-11-28", "2026/11/28 10:03", "2026-11-28T10:03:17.123+01:00", "20261128T100317Z",
          "28/Nov/2026:10:03:17 +0000", "Nov 28 10:03:17", "Nov  2 10:03",
          "Sat Nov 28 10:03:17 UTC 2026", "Sat, 28 Nov 2026 10:03:17 GMT", "10:03:17,123",
          "9:03:17 PM", "1795860197.25193", "1795860197123"}) {
        EXPECT_EQ(normalise_text(text, timestamps), "<time>") << text;
    }
}

TEST(Normaliser, LeavesWhatMayBeNoClock) {
    for (const char* text : {"10:03", "1795860197", "2026-13-28", "25:00:00", "00:11:22:33:44:55",
                             "x10:03:17", "10:03:17x", "1:2", "Nov", "2026", "version 1.2.3"}) {
        EXPECT_EQ(normalise_text(text, timestamps), text);
    }
}

TEST(Normaliser, AHexadecimalNumberHasALetterAndADigit) {
    constexpr NoiseClasses hex{.hex = true};
    EXPECT_EQ(normalise_text("deadbeef 12345678 1234567a 123456a 0x0 0xg 1234567ag", hex),
              "deadbeef 12345678 <hex> 123456a <hex> 0xg 1234567ag");
}

TEST(Normaliser, WhitespaceInsideALineDrawsBoards) {
    EXPECT_EQ(normalise_text("#  @ #\n# .  #", whitespace), "#  @ #\n# .  #");
    EXPECT_EQ(normalise_text("  a \t\r\n\r\n b\r c \r\n \t\n", whitespace), "  a\n\n b\r c");
    EXPECT_EQ(normalise_text(" \n ", whitespace), "");
}

TEST(Normaliser, BytesBeyondAsciiArePartOfNoClass) {
    EXPECT_EQ(normalise_text("é10:03:17靴\xed\xa0\x80", timestamps), "é<time>靴\xed\xa0\x80");
}

TEST(Normaliser, WhatOverlapsAKeptStretchStays) {
    const std::string text = "ticket 17, page 18";
    const Stretch kept[] = {{0, 9}};
    EXPECT_EQ(normalise_text(text, {.numbers = true}, kept), "ticket 17, page <num>");
    const Stretch touching[] = {{0, 7}, {9, 16}};
    EXPECT_EQ(normalise_text(text, {.numbers = true}, touching), "ticket <num>, page <num>");
}

TEST(Normaliser, IsIdempotent) {
    const std::string once = normalise_text(
        "10:03:17 9f3ade12 http://x.y 7 \n 550e8400-e29b-41d4-a716-446655440000", all_classes);
    EXPECT_EQ(normalise_text(once, all_classes), once);
}

}  // namespace
}  // namespace graphgpo
