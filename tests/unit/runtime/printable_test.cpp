#include <cairn/runtime/printable.hpp>

#include <gtest/gtest.h>

#include <string>

namespace cairn::runtime {
namespace {

TEST(Printable, LeavesTextAsItIs) { EXPECT_EQ(printable("quakes.us \u00fc"), "quakes.us \u00fc"); }

TEST(Printable, ShowsControlCharactersByNumber) {
    EXPECT_EQ(printable(std::string("a\nb\x1b[2J\0\x7f", 9)), "a\\x0ab\\x1b[2J\\x00\\x7f");
}

TEST(Printable, SaysThatItWasCut) {
    EXPECT_EQ(printable("abcdef", 3), "abc...");
    EXPECT_EQ(printable("abc", 3), "abc");
}

TEST(Printable, CutsBetweenCharacters) {
    EXPECT_EQ(printable("ab\u00fcc", 3), "ab...");
    EXPECT_EQ(printable("\u00fc", 1), "...");
}

}  // namespace
}  // namespace cairn::runtime
