#include "structure.hpp"

#include "directory.hpp"
#include "log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace cairn::store {

namespace {

// Layout of LMDB 0.9 on 64-bit, in the machine's own byte order (mdb.c: MDB_page, MDB_node, MDB_db,
// MDB_meta). The file is written and read by one machine.
constexpr std::size_t page_header = 16;
constexpr std::size_t node_header = 8;
constexpr std::size_t db_bytes = 48;
constexpr std::uint32_t meta_magic = 0xbeefc0de;
constexpr std::uint64_t no_page = ~std::uint64_t{0};
constexpr unsigned depth_max = 32;
constexpr std::size_t key_bytes_max = 511;
constexpr std::size_t problems_max = 100;

enum page_flags : std::uint16_t { branch = 0x01, leaf = 0x02, overflow = 0x04, meta = 0x08 };
enum node_flags : std::uint16_t { big_data = 0x01, sub_data = 0x02 };

template <typename T>
T load(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

struct tree {
    std::uint16_t flags = 0;
    std::uint16_t depth = 0;
    std::uint64_t entries = 0;
    std::uint64_t root = no_page;
};

tree load_tree(const std::byte* at) {
    return {load<std::uint16_t>(at + 4), load<std::uint16_t>(at + 6), load<std::uint64_t>(at + 32),
            load<std::uint64_t>(at + 40)};
}

class walker {
public:
    explicit walker(const std::filesystem::path& file)
        : fd_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {}

    structure_report run();
    bool ends_early() { return !read_metas() || last_ >= pages_; }

private:
    using page = std::vector<std::byte>;
    enum class keys { bytes_order, integers, names };

    void problem(const std::string& what) {
        if (report_.problems.size() < problems_max) report_.problems.push_back(what);
    }
    void problem_at(std::uint64_t number, const std::string& what) {
        problem("page " + std::to_string(number) + ": " + what);
    }
    bool read(std::uint64_t number, page& out);
    bool claim(std::uint64_t number);
    bool read_metas();
    void walk(const tree& t, keys order, std::vector<tree>* subtrees);
    void walk_page(std::uint64_t number, unsigned level, const tree& t, keys order,
                   std::vector<tree>* subtrees, const std::string* low, const std::string* high);
    bool nodes_fill(std::size_t from);
    void check_value(std::uint64_t number, bytes k, std::uint16_t flags, const std::byte* data,
                     std::uint32_t size, keys order, std::vector<tree>* subtrees);
    void check_free_list(std::uint64_t number, bytes value);

    unique_fd fd_;
    std::size_t page_bytes_ = 4'096;
    std::uint64_t pages_ = 0;  // in the file
    std::uint64_t last_ = 0;
    tree free_;
    tree main_;
    std::vector<bool> used_;
    struct node_place {
        std::size_t at;
        std::size_t size;
    };
    std::vector<node_place> nodes_;  // of the page that is looked at
    std::uint64_t counted_ = 0;
    std::string previous_;
    bool any_key_ = false;
    structure_report report_;
};

bool walker::read(std::uint64_t number, page& out) {
    out.resize(page_bytes_);
    if (number < pages_ &&
        ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(number * page_bytes_)) ==
            static_cast<ssize_t>(out.size()))
        return true;
    problem_at(number, "cannot be read");
    return false;
}

bool walker::claim(std::uint64_t number) {
    if (number < 2 || number > last_ || number >= pages_) {
        problem_at(number, "lies outside the file");
        return false;
    }
    if (used_[number]) {
        problem_at(number, "is used twice");
        return false;
    }
    used_[number] = true;
    ++report_.pages;
    return true;
}

bool walker::read_metas() {
    struct stat info {};
    if (fd_.get() < 0 || ::fstat(fd_.get(), &info) != 0) return problem("cannot be read"), false;
    pages_ = static_cast<std::uint64_t>(info.st_size) / page_bytes_;
    std::array<page, 2> metas;
    std::array<std::uint64_t, 2> txns{};
    for (std::uint64_t i = 0; i < 2; ++i) {
        if (!read(i, metas[i])) return false;
        const std::byte* at = metas[i].data() + page_header;
        if ((load<std::uint16_t>(metas[i].data() + 10) & meta) == 0 ||
            load<std::uint32_t>(at) != meta_magic || load<std::uint32_t>(at + 4) != 1 ||
            load<std::uint32_t>(at + 24) != page_bytes_)
            return problem_at(i, "is no meta page"), false;
        txns[i] = load<std::uint64_t>(at + 128);
    }
    const std::size_t newer = txns[1] > txns[0] ? 1 : 0;
    // Commit n writes meta page n mod 2.
    if (txns[0] != txns[1] && (txns[newer] % 2 != newer || txns[newer] != txns[1 - newer] + 1))
        return problem("the meta pages do not follow each other"), false;
    const std::byte* at = metas[newer].data() + page_header;
    free_ = load_tree(at + 24);
    main_ = load_tree(at + 24 + db_bytes);
    last_ = load<std::uint64_t>(at + 120);
    if (last_ < 1 || last_ > (std::uint64_t{1} << 40))
        return problem("the last page is absurd"), false;
    // LMDB allocates behind the last page, so that a number far beyond the file costs nothing but
    // address space; it must fit the bits kept for it here.
    if (last_ > pages_ + (std::uint64_t{1} << 24)) return problem("the file is cut short"), false;
    used_.assign(last_ + 1, false);
    return true;
}

void walker::walk(const tree& t, keys order, std::vector<tree>* subtrees) {
    const std::uint16_t wanted = order == keys::integers ? 0x08 : 0;
    if (t.flags != wanted) return problem("a tree has flags that we do not use");
    if (t.root == no_page) {
        if (t.depth != 0 || t.entries != 0) problem("an empty tree has entries");
        return;
    }
    if (t.depth == 0 || t.depth > depth_max) return problem("a tree has an absurd depth");
    counted_ = 0;
    any_key_ = false;
    walk_page(t.root, 1, t, order, subtrees, nullptr, nullptr);
    if (report_.problems.empty() && counted_ != t.entries) problem("a tree has lost entries");
}

void walker::walk_page(std::uint64_t number, unsigned level, const tree& t, keys order,
                       std::vector<tree>* subtrees, const std::string* low,
                       const std::string* high) {
    page p;
    if (!report_.problems.empty() || !claim(number) || !read(number, p)) return;
    const auto flags = load<std::uint16_t>(p.data() + 10);
    const auto lower = load<std::uint16_t>(p.data() + 12);
    const auto upper = load<std::uint16_t>(p.data() + 14);
    const bool is_leaf = level == t.depth;
    if (load<std::uint64_t>(p.data()) != number || flags != (is_leaf ? leaf : branch))
        return problem_at(number, "is not the page that the tree expects");
    if (lower < page_header || lower > upper || upper > page_bytes_ || lower % 2 != 0)
        return problem_at(number, "has absurd bounds");
    const std::size_t count = (lower - page_header) / 2;
    if (count < (is_leaf ? 1U : 2U)) return problem_at(number, "is empty");
    struct child {
        std::uint64_t page;
        std::string key;
    };
    std::vector<child> children;
    nodes_.clear();
    for (std::size_t i = 0; i < count; ++i) {
        const auto at = load<std::uint16_t>(p.data() + page_header + 2 * i);
        if (at < upper || at % 2 != 0 || at + node_header > page_bytes_)
            return problem_at(number, "has a node outside its bounds");
        const std::byte* node = p.data() + at;
        const std::uint32_t size =
            load<std::uint16_t>(node) | std::uint32_t{load<std::uint16_t>(node + 2)} << 16;
        const auto node_bits = load<std::uint16_t>(node + 4);
        const auto key_size = load<std::uint16_t>(node + 6);
        const std::size_t room = page_bytes_ - at - node_header;
        if (key_size > key_bytes_max || key_size > room)
            return problem_at(number, "has a key outside its bounds");
        const bytes k(node + node_header, key_size);
        // The first key of a branch page stands for everything below the second.
        if (is_leaf || i > 0) {
            if (order == keys::integers && key_size != 8)
                return problem_at(number, "has a key of a wrong size");
            std::string text(text_of(k));
            if (order == keys::integers) {  // compared as numbers: turned into comparable bytes
                std::array<std::byte, 8> big{};
                store_be(big.data(), load<std::uint64_t>(k.data()));
                text = text_of(big);
            }
            if ((low != nullptr && text < *low) || (high != nullptr && text >= *high))
                return problem_at(number, "has a key that belongs elsewhere");
            if (is_leaf) {
                if (any_key_ && text <= previous_)
                    return problem_at(number, "has its keys out of order");
                previous_ = text;
                any_key_ = true;
            }
            if (!is_leaf) {
                if (i > 1 && text <= children.back().key)
                    return problem_at(number, "has its keys out of order");
                children.push_back({0, std::move(text)});
            }
        } else {
            children.push_back({0, {}});
        }
        const bool is_big = (node_bits & big_data) != 0;
        const std::size_t value_size = !is_leaf ? 0 : is_big ? sizeof(std::uint64_t) : size;
        if (room - key_size < value_size)
            return problem_at(number, "has a value outside its bounds");
        nodes_.push_back({at, node_header + key_size + value_size});
        if (!is_leaf) {
            children.back().page = size | std::uint64_t{node_bits} << 32;
            continue;
        }
        ++counted_;
        check_value(number, k, node_bits, node + node_header + key_size, size, order, subtrees);
        if (!report_.problems.empty()) return;
    }
    if (!nodes_fill(upper)) return problem_at(number, "has nodes that lie in each other");
    for (std::size_t i = 0; i < children.size(); ++i)
        walk_page(children[i].page, level + 1, t, order, subtrees, i > 0 ? &children[i].key : low,
                  i + 1 < children.size() ? &children[i + 1].key : high);
}

// LMDB keeps a page's nodes together at its end, each with an even size. When it changes or removes
// one whose size is wrong, it moves what belongs to others.
bool walker::nodes_fill(std::size_t from) {
    std::sort(nodes_.begin(), nodes_.end(),
              [](const node_place& a, const node_place& b) { return a.at < b.at; });
    for (const node_place& node : nodes_) {
        if (node.at != from) return false;
        from += node.size + node.size % 2;
    }
    return from == page_bytes_;
}

void walker::check_value(std::uint64_t number, bytes, std::uint16_t flags, const std::byte* data,
                         std::uint32_t size, keys order, std::vector<tree>* subtrees) {
    if (flags == sub_data && order == keys::names) {
        if (size != db_bytes) return problem_at(number, "has a tree of a wrong size");
        subtrees->push_back(load_tree(data));
        return;
    }
    if (order == keys::names || (flags != 0 && flags != big_data))
        return problem_at(number, "has a value of a kind that we do not use");
    if (flags == 0) {
        if (order == keys::integers) check_free_list(number, {data, size});
        return;
    }
    const auto first = load<std::uint64_t>(data);
    const std::uint64_t needed = (page_header - 1 + size) / page_bytes_ + 1;
    page p;
    if (!claim(first) || !read(first, p)) return;
    const std::uint64_t taken = load<std::uint32_t>(p.data() + 12);
    // One that became smaller in the transaction that wrote it keeps its pages (mdb_cursor_put).
    if (load<std::uint64_t>(p.data()) != first || load<std::uint16_t>(p.data() + 10) != overflow ||
        taken < needed)
        return problem_at(first, "is not the page of the value");
    for (std::uint64_t i = 1; i < taken; ++i)
        if (!claim(first + i)) return;
    if (order != keys::integers) return;
    std::vector<std::byte> list(needed * page_bytes_);
    if (::pread(fd_.get(), list.data(), list.size(), static_cast<off_t>(first * page_bytes_)) !=
        static_cast<ssize_t>(list.size()))
        return problem_at(first, "cannot be read");
    check_free_list(first, bytes(list).subspan(page_header, size));
}

void walker::check_free_list(std::uint64_t number, bytes value) {
    if (value.size() < 8) return problem_at(number, "has a list of free pages without a size");
    const auto count = load<std::uint64_t>(value.data());
    if (count > value.size() / 8 - 1)
        return problem_at(number, "has a list of free pages of an absurd size");
    std::uint64_t before = no_page;
    for (std::uint64_t i = 1; i <= count; ++i) {
        const auto one = load<std::uint64_t>(value.data() + 8 * i);
        if (one >= before || one < 2 || one > last_ || used_[one])
            return problem_at(number, "has a list of free pages that cannot be");
        used_[one] = true;
        before = one;
    }
}

structure_report walker::run() {
    if (!read_metas()) return report_;
    std::vector<tree> databases;
    walk(main_, keys::names, &databases);
    for (const tree& t : databases) walk(t, keys::bytes_order, nullptr);
    // Last: a free page must not be one of those in use.
    if (report_.problems.empty()) walk(free_, keys::integers, nullptr);
    return report_;
}

}  // namespace

structure_report check_structure(const std::filesystem::path& file) { return walker(file).run(); }

bool ends_early(const std::filesystem::path& file) { return walker(file).ends_early(); }

}  // namespace cairn::store
