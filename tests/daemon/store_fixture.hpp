#pragma once

#include "support/party.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store_server.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace cairn::test {

/// A store in this process, which can be started anew over the same data.
class StoreFixture : public testing::Test {
protected:
    void SetUp() override { start(); }

    void start() {
        options_.path = directory_ / "data";
        // A party says nothing while its test does something else.
        options_.network.silence_max = std::chrono::minutes(10);
        store_ = std::make_unique<store_server>(options_);
        endpoint_ = store_->endpoints().front();
    }
    void restart() {
        store_.reset();
        start();
    }
    void restart(store_server_options options) {
        options_ = std::move(options);
        restart();
    }
    std::unique_ptr<party> peer() const { return std::make_unique<party>(endpoint_); }

    temp_directory directory_;
    store_server_options options_;
    std::unique_ptr<store_server> store_;
    std::string endpoint_;
};

}  // namespace cairn::test
