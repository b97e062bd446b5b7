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

std::vector<source> product_sources() {
    std::vector<source> found;
    const std::regex comments(R"(//[^\n]*)");
    for (const char* folder : {"framework", "patterns", "store", "daemon", "tools"}) {
        const fs::path root = fs::path(CAIRN_SOURCE_DIR) / folder;
        if (!fs::exists(root)) continue;
        for (const auto& entry : fs::recursive_directory_iterator(root)) {
            const std::string extension = entry.path().extension();
            if (extension != ".cpp" && extension != ".hpp") continue;
            std::ifstream from(entry.path());
            const std::string text{std::istreambuf_iterator<char>(from), {}};
            found.push_back({entry.path().string(), std::regex_replace(text, comments, "")});
        }
    }
    return found;
}

std::vector<std::string> files_with(const std::string& pattern) {
    std::vector<std::string> hits;
    const std::regex wanted(pattern);
    for (const source& s : product_sources())
        if (std::regex_search(s.text, wanted)) hits.push_back(fs::path(s.path).filename());
    std::ranges::sort(hits);
    return hits;
}

TEST(TheSources, SetSocketOptionsInTheFactoryOnly) {
    ASSERT_GT(product_sources().size(), 10U);
    EXPECT_EQ(files_with(R"(zmq_setsockopt|\bsockopt::)"),
              std::vector<std::string>{"socket_factory.cpp"});
}

TEST(TheSources, MakeSocketsInTheFactoryOnly) {
    EXPECT_EQ(files_with(R"(zmq_socket\s*\(|zmq::socket_t\s+\w+\((?!zmq::context_t&))"),
              std::vector<std::string>{"socket_factory.cpp"});
}

// Z23
TEST(TheSources, SendAndReceiveWithoutExceptionsInOneFile) {
    EXPECT_EQ(files_with(R"(zmq_msg_send|zmq_send\s*\()"),
              std::vector<std::string>{"zmq_calls.cpp"});
    EXPECT_EQ(files_with(R"(zmq_msg_recv|zmq_recv\s*\()"),
              (std::vector<std::string>{"zap_handler.cpp", "zmq_calls.cpp"}));
}

}  // namespace
