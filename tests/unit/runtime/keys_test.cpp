#include <cairn/error.hpp>
#include <cairn/security.hpp>

#include "support/temp_directory.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace {

using namespace cairn;
namespace fs = std::filesystem;

class Keys : public testing::Test {
protected:
    errc load_fault(const fs::path& file) {
        try {
            load_keys(file);
        } catch (const error& e) {
            text_ = e.what();
            return e.code();
        }
        return errc::ok;
    }
    errc save_fault(const key_pair& keys, const fs::path& file) {
        try {
            save_keys(keys, file);
        } catch (const error& e) {
            return e.code();
        }
        return errc::ok;
    }
    void write(const fs::path& file, const std::string& text) {
        std::ofstream(file) << text;
        ::chmod(file.c_str(), 0600);
    }

    cairn::test::temp_directory temp_;
    fs::path public_file_ = temp_ / "node.cert";
    fs::path secret_file_ = temp_ / "node.cert_secret";
    std::string text_;
};

TEST_F(Keys, AreNewEachTimeAndFortyCharactersLong) {
    const key_pair a = generate_keys();
    const key_pair b = generate_keys();
    EXPECT_EQ(a.public_key.size(), 40U);
    EXPECT_EQ(a.secret_key.size(), 40U);
    EXPECT_NE(a.public_key, b.public_key);
    EXPECT_NE(a.secret_key, a.public_key);
}

TEST_F(Keys, AreReadAsTheyWereSaved) {
    const key_pair keys = generate_keys();
    save_keys(keys, public_file_);
    EXPECT_EQ(load_keys(secret_file_).secret_key, keys.secret_key);
    EXPECT_EQ(load_keys(secret_file_).public_key, keys.public_key);
    EXPECT_EQ(load_keys(public_file_).public_key, keys.public_key);
    EXPECT_EQ(load_keys(public_file_).secret_key, "");
}

TEST_F(Keys, LeaveTheirSecretToNobodyElse) {
    save_keys(generate_keys(), public_file_);
    struct stat found {};
    ASSERT_EQ(::stat(secret_file_.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);
}

TEST_F(Keys, NeverReplaceAFile) {
    const key_pair keys = generate_keys();
    save_keys(keys, public_file_);
    EXPECT_EQ(save_fault(generate_keys(), public_file_), errc::address_in_use);
    EXPECT_EQ(load_keys(secret_file_).secret_key, keys.secret_key);
    fs::remove(secret_file_);
    EXPECT_EQ(save_fault(generate_keys(), public_file_), errc::address_in_use);
    EXPECT_FALSE(fs::exists(secret_file_)) << "half a pair is left";
}

TEST_F(Keys, AreNotWrittenThroughASymbolicLink) {
    fs::create_symlink(temp_ / "elsewhere", secret_file_);
    EXPECT_NE(save_fault(generate_keys(), public_file_), errc::ok);
    EXPECT_FALSE(fs::exists(temp_ / "elsewhere"));
}

// Z18
TEST_F(Keys, AreRefusedWhenOthersHaveRightsOnTheirFile) {
    save_keys(generate_keys(), public_file_);
    for (const mode_t mode : {0644, 0640, 0604, 0620, 0602, 0660, 0666}) {
        ASSERT_EQ(::chmod(secret_file_.c_str(), mode), 0);
        EXPECT_EQ(load_fault(secret_file_), errc::permission_denied) << std::oct << mode;
        EXPECT_NE(text_.find("chmod 600"), std::string::npos);
    }
}

// Z18
TEST_F(Keys, AreRefusedBehindASymbolicLinkAndInWhatIsNoFile) {
    save_keys(generate_keys(), public_file_);
    fs::create_symlink(secret_file_, temp_ / "link");
    EXPECT_EQ(load_fault(temp_ / "link"), errc::permission_denied);
    ASSERT_EQ(::mkfifo((temp_ / "pipe").c_str(), 0600), 0);
    EXPECT_EQ(load_fault(temp_ / "pipe"), errc::permission_denied);
    EXPECT_EQ(load_fault(temp_.path()), errc::permission_denied);
}

// Z18
TEST_F(Keys, AreRefusedWhenTheirFileBelongsToSomebodyElse) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
    save_keys(generate_keys(), public_file_);
    ASSERT_EQ(::chown(secret_file_.c_str(), 12'345, 12'345), 0);
    EXPECT_EQ(load_fault(secret_file_), errc::permission_denied);
}

TEST_F(Keys, AreReadFromAFileOfCzmq) {
    const key_pair keys = generate_keys();
    write(temp_ / "czmq",
          "#   ****  Generated on 2015-01-01 by CZMQ  ****\n#   comment\n\nmetadata\n"
          "    name = \"a\"\n    public-key = \"not this one\"\ncurve\n    public-key = \"" +
              keys.public_key + "\"\n    secret-key = \"" + keys.secret_key + "\"\n");
    EXPECT_EQ(load_keys(temp_ / "czmq").public_key, keys.public_key);
    EXPECT_EQ(load_keys(temp_ / "czmq").secret_key, keys.secret_key);
}

TEST_F(Keys, AreRefusedWhenTheFileIsNoKeyFile) {
    const key_pair keys = generate_keys();
    EXPECT_EQ(load_fault(temp_ / "missing"), errc::key_invalid);
    write(temp_ / "empty", "");
    EXPECT_EQ(load_fault(temp_ / "empty"), errc::key_invalid);
    write(temp_ / "short", "curve\n    public-key = \"abc\"\n");
    EXPECT_EQ(load_fault(temp_ / "short"), errc::key_invalid);
    write(temp_ / "unquoted", "curve\n    public-key = " + keys.public_key + "\n");
    EXPECT_EQ(load_fault(temp_ / "unquoted"), errc::key_invalid);
    write(temp_ / "huge", std::string(1 << 20, '#'));
    EXPECT_EQ(load_fault(temp_ / "huge"), errc::key_invalid);
}

TEST_F(Keys, AreRefusedWhenTheHalvesDoNotBelongTogether) {
    const key_pair a = generate_keys();
    save_keys({a.public_key, generate_keys().secret_key}, public_file_);
    EXPECT_EQ(load_fault(secret_file_), errc::key_invalid);
}

TEST_F(Keys, AreNotSavedWhenTheyAreNone) {
    EXPECT_EQ(save_fault({"a", "b"}, public_file_), errc::key_invalid);
    EXPECT_FALSE(fs::exists(secret_file_));
}

}  // namespace
