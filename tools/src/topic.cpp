// cairn topic: what a store keeps, and how.
#include "values.hpp"
#include "verbs.hpp"

#include <optional>

namespace cairn::tools {

namespace {

struct ls_options {
    common_options common{};
    std::string pattern = "*";
};

struct topic_options {
    common_options common{};
    std::string topic{};
};

struct settings_options {
    common_options common{};
    std::string topic{};
    std::optional<std::chrono::milliseconds> age_max{};
    std::optional<std::uint64_t> bytes_max{};
    std::optional<std::uint64_t> messages_max{};
    std::optional<bool> until_acked{};
    std::optional<bool> refuse_when_full{};
    std::optional<bool> confirm_written{};
    bool last_per_key = false;
};

struct trim_options {
    common_options common{};
    std::string topic{};
    from before{};
};

json described(const stored_topic& topic) {
    const topic_settings& s = topic.settings;
    json made;
    add_text(made, "topic", topic.name);
    made.update(json{{"messages", topic.end - topic.first},
                     {"bytes", topic.bytes},
                     {"first", topic.first},
                     {"end", topic.end},
                     {"sources", topic.sources},
                     {"groups", topic.groups},
                     {"dead_letters", topic.dead_letters},
                     {"damaged", topic.damaged},
                     {"settings",
                      {{"age_max_ms", s.age_max.count()},
                       {"bytes_max", s.bytes_max},
                       {"messages_max", s.messages_max},
                       {"until_acked", s.until_acked},
                       {"when_full", s.refuse_when_full ? "refuse" : "drop-oldest"},
                       {"confirm", s.confirm_written ? "written" : "flushed"},
                       {"last_per_key", s.last_per_key}}}});
    return made;
}

/// What limits a topic, in words.
std::string in_words(const stored_topic& topic) {
    const topic_settings& s = topic.settings;
    std::vector<std::string> parts;
    if (s.age_max.count() != 0) parts.push_back(shown_span(s.age_max));
    if (s.bytes_max != 0) parts.push_back(shown_bytes(s.bytes_max));
    if (s.messages_max != 0) parts.push_back(counted(s.messages_max, "message"));
    if (s.until_acked) parts.emplace_back("until acked");
    if (parts.empty()) parts.emplace_back("all");
    if (s.refuse_when_full) parts.emplace_back("refuses when full");
    if (s.confirm_written) parts.emplace_back("confirms what is written");
    if (s.last_per_key) parts.emplace_back("last per key");
    if (topic.dead_letters) parts.emplace_back("dead letters");
    std::string text;
    for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
    return text;
}

int list_topics(const ls_options& given) {
    store_session with(given.common);
    table shown({"TOPIC", "MESSAGES", "SIZE", "FIRST", "END", "SOURCES", "GROUPS", "KEEPS"});
    for (const stored_topic& topic : with.store.topics(given.pattern)) {
        if (given.common.json) {
            with.out.object(described(topic));
            continue;
        }
        if (topic.damaged) {
            shown.row({topic.name, "?", "?", "?", "?", "?", "?", "its record is damaged"});
            continue;
        }
        shown.row({topic.name, std::to_string(topic.end - topic.first), shown_bytes(topic.bytes),
                   std::to_string(topic.first), std::to_string(topic.end),
                   std::to_string(topic.sources), std::to_string(topic.groups), in_words(topic)});
    }
    if (!given.common.json) shown.print(with.out);
    with.out.flush();
    return 0;
}

int show_topic(const topic_options& given) {
    store_session with(given.common);
    const stored_topic topic = with.store.topic(given.topic);
    const std::vector<stored_source> sources = with.store.sources(given.topic);
    if (given.common.json) {
        json object = described(topic);
        object["positions"] = json::array();
        for (const stored_source& s : sources)
            object["positions"].push_back({{"source", s.name},
                                           {"epoch", s.epoch.value},
                                           {"sequence", s.last.value},
                                           {"damaged", s.damaged}});
        with.out.object(object);
    } else {
        with.out.line("topic     " + escaped(topic.name));
        with.out.line("messages  " + std::to_string(topic.end - topic.first) + " in " +
                      shown_bytes(topic.bytes));
        with.out.line("offsets   " + std::to_string(topic.first) + " to before " +
                      std::to_string(topic.end));
        with.out.line("groups    " + std::to_string(topic.groups));
        with.out.line("keeps     " + in_words(topic));
        table shown({"SOURCE", "EPOCH", "STORED TO"});
        for (const stored_source& s : sources)
            shown.row({s.name, s.damaged ? "?" : std::to_string(s.epoch.value),
                       s.damaged ? "its record is damaged" : std::to_string(s.last.value)});
        if (!sources.empty()) shown.print(with.out);
    }
    with.out.flush();
    return 0;
}

topic_settings applied(topic_settings to, const settings_options& given) {
    to.age_max = given.age_max.value_or(to.age_max);
    to.bytes_max = given.bytes_max.value_or(to.bytes_max);
    to.messages_max = given.messages_max.value_or(to.messages_max);
    to.until_acked = given.until_acked.value_or(to.until_acked);
    to.refuse_when_full = given.refuse_when_full.value_or(to.refuse_when_full);
    to.confirm_written = given.confirm_written.value_or(to.confirm_written);
    to.last_per_key = to.last_per_key || given.last_per_key;
    return to;
}

/// The topic as it is now: what a change came to. `first`: its first offset before.
int show_after_change(store_session& with, const settings_options& given, std::uint64_t first) {
    const stored_topic topic = with.store.topic(given.topic);
    const std::uint64_t removed = topic.first - std::min(topic.first, first);
    if (given.common.json) {
        json made = described(topic);
        made["removed"] = removed;
        with.out.object(made);
    } else {
        with.out.line(escaped(topic.name) + " keeps " + in_words(topic) +
                      (removed == 0 ? "" : "; " + counted(removed, "message") + " removed"));
    }
    with.out.flush();
    return 0;
}

int create_topic(const settings_options& given) {
    store_session with(given.common);
    with.store.create_topic(given.topic, applied({}, given));
    return show_after_change(with, given, with.store.topic(given.topic).first);
}

int alter_topic(const settings_options& given) {
    store_session with(given.common);
    const stored_topic before = with.store.topic(given.topic);
    with.store.alter_topic(given.topic, applied(before.settings, given));
    return show_after_change(with, given, before.first);
}

int delete_topic(const topic_options& given) {
    store_session with(given.common);
    with.store.delete_topic(given.topic);
    if (given.common.json) {
        json made;
        add_text(made, "topic", given.topic);
        made["deleted"] = true;
        with.out.object(made);
    } else {
        with.out.line(escaped(given.topic) + " is deleted");
    }
    with.out.flush();
    return 0;
}

int removed(store_session& with, const common_options& common, const std::string& topic,
            std::uint64_t messages) {
    if (common.json) {
        json made;
        add_text(made, "topic", topic);
        made["removed"] = messages;
        with.out.object(made);
    } else {
        with.out.line(counted(messages, "message") + " removed from " + escaped(topic));
    }
    with.out.flush();
    return 0;
}

int trim_topic(const trim_options& given) {
    store_session with(given.common);
    return removed(with, given.common, given.topic, with.store.trim(given.topic, given.before));
}

int purge_topic(const topic_options& given) {
    store_session with(given.common);
    return removed(with, given.common, given.topic, with.store.purge(given.topic));
}

std::string one_of(const std::string& text, const std::string& no, const std::string& yes) {
    if (text != no && text != yes)
        throw usage_error("\"" + text + "\" is neither " + no + " nor " + yes);
    return text;
}

void add_settings(CLI::App& line, settings_options& to) {
    add_topic(line, to.topic);
    add_value(line, "--age-max", to.age_max, span_of, "TIME", "older messages go; 0: none");
    add_value(line, "--bytes-max", to.bytes_max, bytes_of, "SIZE",
              "of stored messages, in whole batches; 0: no limit");
    add_value(line, "--messages-max", to.messages_max, count_of, "COUNT", "0: no limit");
    add_value(line, "--until-acked", to.until_acked, truth_of, "BOOLEAN",
              "true: what all groups acked goes");
    add_value(
        line, "--when-full", to.refuse_when_full,
        [](const std::string& t) { return one_of(t, "drop-oldest", "refuse") == "refuse"; },
        "POLICY", "at a limit of bytes or messages: drop-oldest or refuse");
    add_value(
        line, "--confirm", to.confirm_written,
        [](const std::string& t) { return one_of(t, "flushed", "written") == "written"; }, "WHEN",
        "flushed, or written: before the flush, so that a crash may take what was confirmed last");
    add_common(line, to.common);
}

}  // namespace

void add_topic_verbs(CLI::App& cairn, action& chosen) {
    CLI::App& topic = add_noun(cairn, "topic", "topics of a store");
    {
        const auto [line, to] = add_verb(topic, "ls", "lists topics", chosen, &list_topics);
        line.add_option("pattern", to.pattern, "a name, or a beginning with * behind it: *")
            ->type_name("PATTERN");
        add_common(line, to.common);
    }
    const auto add_plain = [&](const char* name, const char* help,
                               int (*run)(const topic_options&)) {
        const auto [line, to] = add_verb(topic, name, help, chosen, run);
        add_topic(line, to.topic);
        add_common(line, to.common);
    };
    add_plain("info", "shows a topic and the sources that it has messages of", &show_topic);
    {
        const auto [line, to] = add_verb(
            topic, "create",
            "makes a topic; what is not said has no limit, whatever [topics] of cairnd says",
            chosen, &create_topic);
        add_settings(line, to);
        line.add_flag("--last-per-key", to.last_per_key, "index the last message of each key");
    }
    {
        const auto [line, to] = add_verb(topic, "alter", "changes a topic; what is not said stays",
                                         chosen, &alter_topic);
        line.footer(
            "A lower limit takes effect in steps, since a store removes some thousand batches with "
            "each commit: what is printed as removed is the first of them, and the rest follows by "
            "itself. A limit in bytes removes whole batches, as their publishers sent them, and "
            "with drop-oldest never the newest one, so that a topic may stay above it.");
        add_settings(line, to);
    }
    add_plain("rm",
              "deletes a topic with all that it holds, and its groups; publishers that go on make "
              "it anew",
              &delete_topic);
    {
        const auto [line, to] =
            add_verb(topic, "trim", "removes the messages before a place", chosen, &trim_topic);
        add_topic(line, to.topic);
        add_value(line, "--before", to.before, from_of, "PLACE", std::string(places))->required();
        add_common(line, to.common);
    }
    add_plain("purge", "removes all messages; groups and positions stay", &purge_topic);
}

}  // namespace cairn::tools
