#include "support/temp_directory.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace cairn::test {

TEST(TempDirectory, IsGoneWithAllInIt) {
    std::filesystem::path was;
    {
        const temp_directory directory;
        was = directory.path();
        std::filesystem::create_directory(directory / "inner");
        std::ofstream(directory / "inner" / "file") << "x";
        EXPECT_TRUE(std::filesystem::exists(was / "inner" / "file"));
    }
    EXPECT_FALSE(std::filesystem::exists(was));
}

TEST(TempDirectory, IsNotSharedByTwo) {
    const temp_directory a;
    const temp_directory b;
    EXPECT_NE(a.path(), b.path());
}

}  // namespace cairn::test
