// cairn group: who reads a topic of a store, and how far they are.
#include "verbs.hpp"

#include <algorithm>
#include <utility>

namespace cairn::tools {

namespace {

struct groups_options {
    common_options common{};
    std::string pattern = "*";
};

struct group_options {
    common_options common{};
    std::string topic{};
    std::string group{};
    from place = from::earliest();
};

struct topic_group {
    std::string topic;
    durable_group group;
};

json described(const std::string& topic, const durable_group& group) {
    json made;
    add_text(made, "topic", topic);
    add_text(made, "group", group.name);
    made.update(json{{"next", group.next},
                     {"done", group.done},
                     {"pending", group.pending},
                     {"members", group.members},
                     {"damaged", group.damaged}});
    return made;
}

void print_groups(store_session& with, const common_options& common,
                  const std::vector<topic_group>& groups) {
    table shown({"TOPIC", "GROUP", "NEXT", "DONE PAST IT", "PENDING", "MEMBERS"});
    for (const auto& [topic, g] : groups) {
        if (common.json)
            with.out.object(described(topic, g));
        else if (g.damaged)
            shown.row(
                {topic, g.name, "?", "?", "its record is damaged", std::to_string(g.members)});
        else
            shown.row({topic, g.name, std::to_string(g.next), std::to_string(g.done),
                       std::to_string(g.pending), std::to_string(g.members)});
    }
    if (!common.json) shown.print(with.out);
    with.out.flush();
}

int print_group(store_session& with, const group_options& given) {
    const std::vector<durable_group> all = with.store.groups(given.topic);
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const durable_group& g) { return g.name == given.group; });
    if (found == all.end())
        throw error(errc::group_unknown,
                    "group " + given.group + " of topic " + given.topic + ": there is none");
    print_groups(with, given.common, {{given.topic, *found}});
    return 0;
}

int list_groups(const groups_options& given) {
    store_session with(given.common);
    std::vector<topic_group> all;
    const auto add = [&](const std::string& topic) {
        for (durable_group& g : with.store.groups(topic)) all.push_back({topic, std::move(g)});
    };
    if (!given.pattern.ends_with('*'))
        add(given.pattern);
    else
        for (const stored_topic& topic : with.store.topics(given.pattern)) {
            try {
                add(topic.name);
            } catch (const error& gone) {
                if (gone.code() != errc::topic_unknown) throw;  // deleted meanwhile
            }
        }
    print_groups(with, given.common, all);
    return 0;
}

int show_group(const group_options& given) {
    store_session with(given.common);
    return print_group(with, given);
}

int create_group(const group_options& given) {
    store_session with(given.common);
    with.store.create_group(given.topic, given.group, given.place);
    return print_group(with, given);
}

int seek_group(const group_options& given) {
    store_session with(given.common);
    with.store.seek_group(given.topic, given.group, given.place);
    return print_group(with, given);
}

int delete_group(const group_options& given) {
    store_session with(given.common);
    with.store.delete_group(given.topic, given.group);
    if (given.common.json) {
        json made;
        add_text(made, "topic", given.topic);
        add_text(made, "group", given.group);
        made["deleted"] = true;
        with.out.object(made);
    } else {
        with.out.line("group " + escaped(given.group) + " of " + escaped(given.topic) +
                      " is deleted");
    }
    with.out.flush();
    return 0;
}

}  // namespace

void add_group_verbs(CLI::App& cairn, action& chosen) {
    CLI::App& group = add_noun(cairn, "group", "durable groups: readers that a store remembers");
    {
        const auto [line, to] =
            add_verb(group, "ls", "lists the groups of topics", chosen, &list_groups);
        line.add_option("pattern", to.pattern, "(*) a topic, or a beginning with * behind it")
            ->type_name("PATTERN");
        add_common(line, to.common);
    }
    const auto add_one = [&](const char* name, const char* help, int (*run)(const group_options&)) {
        const auto added = add_verb(group, name, help, chosen, run);
        add_topic(added.line, added.to.topic);
        added.line.add_option("group", added.to.group, "name of a group")
            ->type_name("GROUP")
            ->required();
        add_common(added.line, added.to.common);
        return added;
    };
    add_one("info", "shows a group", &show_group);
    {
        const auto [line, to] = add_one("create", "makes a group", &create_group);
        add_value(line, "--from", to.place, from_of, "PLACE",
                  "all before is done (first): " + std::string(places));
    }
    {
        const auto [line, to] = add_one(
            "seek",
            "moves a group: all before the place is done, and all behind it comes, acked or not",
            &seek_group);
        add_value(line, "--to", to.place, from_of, "PLACE", std::string(places))->required();
    }
    add_one("rm", "deletes a group", &delete_group);
}

}  // namespace cairn::tools
