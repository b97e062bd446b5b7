#include <cairn/error.hpp>

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Error, HasANameAndADescriptionForANumberInUse) {
    EXPECT_EQ(name(errc::address_in_use), "address_in_use");
    EXPECT_NE(describe(errc::address_in_use).find("choose another port"), std::string_view::npos);
}

TEST(Error, IsUnknownForANumberWithoutAMeaning) {
    EXPECT_EQ(name(static_cast<errc>(65'535)), "unknown");
    EXPECT_EQ(describe(static_cast<errc>(65'535)), "unknown error");
}

TEST(Error, CarriesItsCodeAndItsText) {
    const error e(errc::fenced, "publish quakes: fenced");
    EXPECT_EQ(e.code(), errc::fenced);
    EXPECT_STREQ(e.what(), "publish quakes: fenced");
}

TEST(Result, HoldsAValueOrTheReasonWhyThereIsNone) {
    const result<int> value(7);
    EXPECT_TRUE(value);
    EXPECT_EQ(*value, 7);
    EXPECT_EQ(value.error(), errc::ok);
    const result<int> failure(errc::gone);
    EXPECT_FALSE(failure);
    EXPECT_EQ(failure.error(), errc::gone);
}

}  // namespace
}  // namespace cairn
