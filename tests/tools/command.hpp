#pragma once

#include "support/child_process.hpp"
#include "support/temp_directory.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace cairn::test {

using nlohmann::json;

/// What a command that ended left.
struct outcome {
    int code = -1;
    std::string out{};
    std::string errors{};

    std::vector<json> objects() const {
        std::vector<json> all;
        std::istringstream lines(out);
        for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
        return all;
    }
    json object() const {
        const std::vector<json> all = objects();
        EXPECT_EQ(all.size(), 1U) << out << errors;
        return all.empty() ? json::object() : all.front();
    }
    bool says(const std::string& text) const { return errors.find(text) != std::string::npos; }
};

inline void PrintTo(const outcome& o, std::ostream* to) {
    *to << "code " << o.code << ", output \"" << o.out << "\", errors \"" << o.errors << '"';
}

/// Runs `cairn`, and a `cairnd` beside it.
class command : public testing::Test {
protected:
    static constexpr std::chrono::seconds patience{30};

    void start_store(const std::vector<std::string>& more = {}) {
        std::vector<std::string> all{"/usr/bin/env", "-u", "NOTIFY_SOCKET", CAIRND};
        for (const std::string& flag :
             {std::string("--listen"), store_, std::string("--data"), path("data")})
            all.push_back(flag);
        all.insert(all.end(), more.begin(), more.end());
        running_ = std::make_unique<child_process>(all);
        ASSERT_TRUE(running_->wait_for_output("ready\n", patience)) << running_->output();
    }
    void stop_store() {
        running_->signal(SIGTERM);
        EXPECT_EQ(running_->wait(patience), 0);
    }

    std::string path(const std::string& name) const { return (directory_ / name).string(); }
    static std::string contents(const std::string& file) {
        std::ifstream from(file, std::ios::binary);
        return {std::istreambuf_iterator<char>(from), {}};
    }

    /// The command as a process that goes on; its errors come with its output.
    child_process process(const std::vector<std::string>& arguments) const {
        std::vector<std::string> all = environment();
        all.emplace_back(CAIRN_COMMAND);
        all.insert(all.end(), arguments.begin(), arguments.end());
        return child_process(all);
    }
    /// Runs it to its end, with `input` on its standard input.
    outcome cairn(const std::vector<std::string>& arguments, const std::string& input = {}) const {
        std::ofstream(path("input"), std::ios::binary) << input;
        std::vector<std::string> all = environment();
        all.insert(all.end(), {"/bin/sh", "-c", R"(i=$1 e=$2; shift 2; exec "$@" <"$i" 2>"$e")",
                               "sh", path("input"), path("errors"), CAIRN_COMMAND});
        all.insert(all.end(), arguments.begin(), arguments.end());
        child_process one(all);
        const int code = one.wait(patience).value_or(-1);
        return {code, one.output(), contents(path("errors"))};
    }
    /// The same with --json; it has to succeed.
    std::vector<json> objects(std::vector<std::string> arguments,
                              const std::string& input = {}) const {
        arguments.emplace_back("--json");
        const outcome done = cairn(arguments, input);
        EXPECT_EQ(done.code, 0) << testing::PrintToString(done);
        return done.code == 0 ? done.objects() : std::vector<json>{};
    }
    json object(const std::vector<std::string>& arguments, const std::string& input = {}) const {
        const std::vector<json> all = objects(arguments, input);
        EXPECT_EQ(all.size(), 1U);
        return all.empty() ? json::object() : all.front();
    }
    /// "a", "b", … from `name` of each.
    static std::vector<std::string> all(const std::vector<json>& of, const std::string& name) {
        std::vector<std::string> values;
        for (const json& one : of) values.push_back(one.at(name).get<std::string>());
        return values;
    }
    /// Keeps `lines` on a topic.
    void publish(const std::string& topic, const std::string& lines) const {
        ASSERT_EQ(cairn({"pub", topic}, lines).code, 0) << contents(path("errors"));
    }

    temp_directory directory_;
    std::string store_ = "ipc://" + path("store.ipc");
    std::vector<std::string> variables_{"CAIRN_STORE=" + store_};
    std::unique_ptr<child_process> running_;

private:
    std::vector<std::string> environment() const {
        std::vector<std::string> all{"/usr/bin/env",   "-u", "CAIRN_STORE",     "-u",
                                     "CAIRN_KEY_FILE", "-u", "CAIRN_SERVER_KEY"};
        all.insert(all.end(), variables_.begin(), variables_.end());
        return all;
    }
};

}  // namespace cairn::test
