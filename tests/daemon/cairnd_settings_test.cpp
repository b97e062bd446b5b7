#include "cairnd_fixture.hpp"

// What cairnd says of settings, and where in its file they stand.
namespace {

using namespace cairn;
using namespace cairn::test;

class CairndSettings : public Cairnd {
protected:
    /// What --check-config says of a file, with FILE for its name; behind the code.
    std::pair<int, std::string> checked(const std::string& text,
                                        const std::vector<std::string>& more = {}) {
        const std::string config = file("c.toml", text);
        std::vector<std::string> flags{"-c", config, "--check-config"};
        flags.insert(flags.end(), more.begin(), more.end());
        auto [code, words] = said(flags);
        for (std::size_t at; (at = words.find(config)) != std::string::npos;)
            words.replace(at, config.size(), "FILE");
        return {code, words};
    }
    /// The same of one that has to be refused.
    std::string refused(const std::string& text, const std::vector<std::string>& more = {}) {
        const auto [code, words] = checked(text, more);
        EXPECT_EQ(code, 2) << words;
        return words;
    }
};

TEST_F(CairndSettings, RefuseARuleThatGivesNoRight) {
    const std::string remedy =
        ", so that the rule gives nothing; write which rights it gives: may = [\"publish\", "
        "\"subscribe\", \"consume\", \"admin\"], or some of them\n";
    EXPECT_EQ(refused("[[access]]\ntopics = \"a*\"\n"),
              "cairnd: FILE:1:1: access: may is missing" + remedy);
    EXPECT_EQ(refused("[[access]]\nmay = \"admin\"\n[[access]]\nkey = \"*\"\nmay = []\n"),
              "cairnd: FILE:5:7: access.may is empty" + remedy);
}

}  // namespace
