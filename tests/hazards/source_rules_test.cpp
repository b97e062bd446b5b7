#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct source {
    std::string path;
    std::string text;  // without comments
};

std::string without_comments(const std::string& text) {
    std::string kept;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t comment = std::min(text.find("//", at), text.size());
        kept.append(text, at, comment - at);
        at = std::min(text.find('\n', comment), text.size());
    }
    return kept;
}

std::vector<source> product_sources() {
    std::vector<source> found;
    for (const char* folder : {"framework", "patterns", "store", "daemon", "tools"}) {
        const fs::path root = fs::path(CAIRN_SOURCE_DIR) / folder;
        if (!fs::exists(root)) continue;
        for (const auto& entry : fs::recursive_directory_iterator(root)) {
            const std::string extension = entry.path().extension();
            if (extension != ".cpp" && extension != ".hpp") continue;
            std::ifstream from(entry.path());
            const std::string text{std::istreambuf_iterator<char>(from), {}};
            found.push_back({entry.path().string(), without_comments(text)});
        }
    }
    return found;
}

/// Whose text matches; `word` is in all that match, and is looked for a hundred times as fast.
std::vector<std::string> files_with(const std::string& word, const std::string& pattern) {
    std::vector<std::string> hits;
    const std::regex wanted(pattern);
    for (const source& s : product_sources())
        if (s.text.find(word) != std::string::npos && std::regex_search(s.text, wanted))
            hits.push_back(fs::path(s.path).filename());
    std::ranges::sort(hits);
    return hits;
}

TEST(TheSources, SetSocketOptionsInTheFactoryOnly) {
    ASSERT_GT(product_sources().size(), 10U);
    EXPECT_EQ(files_with("sockopt", R"(zmq_setsockopt|\bsockopt::)"),
              std::vector<std::string>{"socket_factory.cpp"});
}

TEST(TheSources, MakeSocketsInTheFactoryOnly) {
    EXPECT_EQ(files_with("socket", R"(zmq_socket\s*\(|zmq::socket_t\s+\w+\((?!zmq::context_t&))"),
              std::vector<std::string>{"socket_factory.cpp"});
}

// Z23
TEST(TheSources, SendAndReceiveWithoutExceptionsInOneFile) {
    EXPECT_EQ(files_with("zmq_", R"(zmq_msg_send|zmq_send\s*\()"),
              std::vector<std::string>{"zmq_calls.cpp"});
    EXPECT_EQ(files_with("zmq_", R"(zmq_msg_recv|zmq_recv\s*\()"),
              (std::vector<std::string>{"zap_handler.cpp", "zmq_calls.cpp"}));
}

}  // namespace
