#pragma once

#include "made.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/database.hpp>
#include <cairn/store/reader.hpp>

#include "../../../store/src/upgrade.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cairn::test {

using strings = std::vector<std::string>;

/// A database in a directory of its own, and verbs to use it with.
class Database : public testing::Test {
protected:
    Database() { reopen(); }

    void reopen() { reopen(chosen_); }
    void reopen(const store::options& chosen) {
        db_.reset();
        chosen_ = chosen;
        db_ = std::make_unique<store::database>(directory_ / "db", chosen_);
    }

    std::vector<store::reply> all(const std::vector<store::command>& commands) {
        more_ = db_->commit(commands, now_, replies_);
        return replies_;
    }
    store::reply one(store::command wanted) { return all({std::move(wanted)}).at(0); }

    store::source_opened opened(const std::string& topic, const std::string& source,
                                std::uint64_t e = 1) {
        const store::reply answer = one(store::open_source{topic, source, {e}, "", true});
        EXPECT_EQ(answer.code, errc::ok);
        return std::get<store::source_opened>(answer.value);
    }
    store::reply append_to(const store::source_opened& s, std::uint64_t first, const strings& texts,
                           std::uint64_t e = 1) {
        return one(batch(s, {e}, first, static_cast<std::uint32_t>(texts.size()), records(texts)));
    }
    static store::offset_range stored(const store::reply& r) {
        const auto* const a = std::get_if<store::appended>(&r.value);
        return a == nullptr ? store::offset_range{} : store::offset_range{a->first, a->last};
    }

    store::page read(const std::string& topic, std::uint64_t from = 1) {
        store::reader reader(*db_);
        store::page found;
        const auto id = reader.find_topic(topic);
        EXPECT_EQ(id.error(), errc::ok);
        if (!id) return found;
        EXPECT_EQ(reader.read(*id, {from}, std::size_t{128} << 20, buffer_, found), errc::ok);
        return found;
    }
    strings texts(const std::string& topic) {
        strings all_texts;
        for (const store::entry& e : read(topic).entries)
            for (std::string& text : texts_of(e.body)) all_texts.push_back(std::move(text));
        return all_texts;
    }
    store::group_id group_of(store::topic_id topic, const std::string& group) {
        const store::reply answer = one(store::create_group{topic, group, "", {1}});
        return std::get<store::group_created>(answer.value).group;
    }
    std::vector<store::offset_range> pending(store::topic_id t, store::group_id g) {
        return store::reader(*db_).pending(t, g, {1}, 1'000'000).value();
    }

    // The closed file, below the public interface.

    /// Opening it: ok, or with what it is refused; the text is in text_.
    errc refusal() {
        try {
            const store::database db(directory_ / "db", chosen_);
            return errc::ok;
        } catch (const error& refused) {
            text_ = refused.what();
            return refused.code();
        }
    }
    template <typename F>
    void inside(F&& f) {
        store::lmdb::environment env(directory_ / "db",
                                     {.map_bytes = std::size_t{1} << 30, .flags = 0});
        store::lmdb::transaction txn(env, store::lmdb::transaction::mode::write);
        const store::databases dbs = store::open_databases(txn, false);
        f(txn, dbs);
        txn.commit();
    }
    template <typename Record>
    static void put(store::lmdb::transaction& txn, const store::databases& dbs, const store::key& k,
                    const Record& r) {
        std::vector<std::byte> value;
        encode(r, value);
        store::add_seal(k, value);
        txn.put(dbs.state, k, value);
    }
    static store::counters_record counters_in(store::lmdb::transaction& txn,
                                              const store::databases& dbs) {
        const auto value = txn.get(dbs.state, store::counters_key());
        return *store::decode_counters(store::unsealed(store::counters_key(), *value));
    }
    void rewrite_meta(const std::function<void(store::meta_record&)>& change) {
        inside([&](store::lmdb::transaction& txn, const store::databases& dbs) {
            const auto value = txn.get(dbs.state, store::meta_key());
            store::meta_record meta =
                *store::decode_meta(store::unsealed(store::meta_key(), *value));
            change(meta);
            put(txn, dbs, store::meta_key(), meta);
            auto counters = counters_in(txn, dbs);
            counters.commit = txn.id();
            put(txn, dbs, store::counters_key(), counters);
        });
    }
    void rewrite_counters(const std::function<void(store::counters_record&)>& change) {
        inside([&](store::lmdb::transaction& txn, const store::databases& dbs) {
            auto counters = counters_in(txn, dbs);
            change(counters);
            put(txn, dbs, store::counters_key(), counters);
        });
    }
    bool upgraded(std::span<const store::upgrade_step> steps) {
        store::lmdb::environment env(directory_ / "db",
                                     {.map_bytes = std::size_t{1} << 30, .flags = 0});
        store::databases dbs;
        {
            store::lmdb::transaction txn(env, store::lmdb::transaction::mode::read);
            dbs = store::open_databases(txn, false);
            txn.commit();
        }
        return store::upgrade(env, dbs, steps, store::format_version);
    }
    std::string content(std::string_view file) const {
        std::ifstream in(directory_ / "db" / file, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    std::uintmax_t disk_bytes() const {
        return std::filesystem::file_size(directory_ / "db" / "data.mdb");
    }

    const temp_directory directory_;
    store::options chosen_ = small_options();
    std::unique_ptr<store::database> db_;
    std::vector<store::reply> replies_;
    std::vector<std::byte> buffer_;
    wall_time now_ = at_ms(1'000);
    bool more_ = false;
    std::string text_;
};

}  // namespace cairn::test
