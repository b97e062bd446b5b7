#pragma once

#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/party.hpp"
#include "support/temp_directory.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cairn::test {

using namespace std::chrono_literals;

/// cairnd as a process.
class Cairnd : public testing::Test {
protected:
    /// Arguments behind `env`: variables, the program, its flags.
    child_process program(std::vector<std::string> flags,
                          const std::vector<std::string>& variables = {}) {
        std::vector<std::string> all{"/usr/bin/env", "-u", "NOTIFY_SOCKET"};
        all.insert(all.end(), variables.begin(), variables.end());
        all.emplace_back(CAIRND);
        all.insert(all.end(), flags.begin(), flags.end());
        return child_process(all);
    }
    void start(const std::vector<std::string>& more = {},
               const std::vector<std::string>& variables = {}) {
        std::vector<std::string> all{"/usr/bin/env", "-u", "NOTIFY_SOCKET"};
        all.insert(all.end(), variables.begin(), variables.end());
        for (const char* flag : {program_, "--listen", "tcp://127.0.0.1:0", "--data"})
            all.emplace_back(flag);
        all.push_back((directory_ / "data").string());
        all.emplace_back("--ports-file");
        all.push_back((directory_ / "ports").string());
        all.insert(all.end(), more.begin(), more.end());
        running_ = std::make_unique<child_process>(all);
        ASSERT_TRUE(running_->wait_for_output("ready\n", 30s)) << running_->output();
        std::ifstream ports(directory_ / "ports");
        endpoints_.clear();
        for (std::string line; std::getline(ports, line);) endpoints_.push_back(line);
        ASSERT_FALSE(endpoints_.empty());
    }
    int end(int number) {
        running_->signal(number);
        return running_->wait(30s).value_or(-1);
    }
    /// Runs it to its end: what it printed, and its code.
    std::pair<int, std::string> said(const std::vector<std::string>& flags,
                                     const std::vector<std::string>& variables = {}) {
        child_process one = program(flags, variables);
        const int code = one.wait(30s).value_or(-1);
        return {code, one.output()};
    }
    std::string file(const std::string& name, const std::string& text) {
        std::ofstream(directory_ / name) << text;
        return (directory_ / name).string();
    }

    temp_directory directory_;
    const char* program_ = CAIRND;
    std::unique_ptr<child_process> running_;
    std::vector<std::string> endpoints_;
};

/// cairnd on a disk that does not answer from hang() to go_on().
class CairndOnAHangingDisk : public Cairnd {
protected:
    CairndOnAHangingDisk() { program_ = CAIRND_ON_HANGING_DISK; }

    std::vector<std::string> variables() const { return {"CAIRN_TEST_HANG=" + hang_.string()}; }
    void hang() const { std::ofstream(hang_) << ""; }
    void go_on() const { std::filesystem::remove(hang_); }
    /// The committer is in there.
    bool held() const {
        return eventually([&] { return std::filesystem::exists(hang_.string() + ".held"); }, 30s);
    }
    /// A publisher's run with 5 messages on disk, and 5 that the committer is stuck with.
    void get_stuck(party& publisher) const {
        ASSERT_TRUE(publisher.open(1, "quakes", "usgs", 7));
        publisher.append(1, 1, 5);
        ASSERT_TRUE(publisher.confirmed(5));
        hang();
        publisher.append(1, 6, 5);
        ASSERT_TRUE(held());
    }

    const std::filesystem::path hang_ = directory_ / "hang";
};

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace cairn::test
