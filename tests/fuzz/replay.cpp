// Feeds a fuzz target its corpus and a fixed sequence of mutations of it, so that every build runs
// what a fuzzer found once, and some thousands of inputs near it.

#include <support/rounds.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "fuzz_target.hpp"

namespace {

using bytes = std::vector<std::uint8_t>;

constexpr std::size_t mutations_per_seed = 4'000;
constexpr std::uint64_t random_seed = 20'240'616;

std::vector<bytes> read_corpus(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<bytes> corpus;
    for (const auto& path : files) {
        std::ifstream file(path, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return corpus;
}

class mutator {
public:
    explicit mutator(const std::vector<bytes>& corpus) : corpus_(corpus) {}

    bytes mutate(bytes input) {
        for (std::uint64_t left = 1 + below(3); left != 0; --left) mutate_once(input);
        return input;
    }

private:
    std::uint64_t below(std::uint64_t end) { return end == 0 ? 0 : random_() % end; }

    void mutate_once(bytes& input) {
        // Ends of ranges and the first bytes of msgpack's families.
        constexpr std::uint8_t interesting[] = {0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                                0xc0, 0xc1, 0xc4, 0xc6, 0xcc, 0xcf, 0xd3, 0xd9,
                                                0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};
        const auto at = static_cast<std::ptrdiff_t>(below(input.size()));
        if (input.empty()) return input.push_back(interesting[below(std::size(interesting))]);
        switch (below(6)) {
            case 0:
                input[at] ^= static_cast<std::uint8_t>(1 << below(8));
                return;
            case 1:
                input[at] = interesting[below(std::size(interesting))];
                return;
            case 2:
                input.resize(at);
                return;
            case 3:
                input.insert(input.begin() + at, interesting[below(std::size(interesting))]);
                return;
            case 4:
                input.erase(input.begin() + at);
                return;
            default: {
                const bytes& other = corpus_[below(corpus_.size())];
                input.resize(at);
                const auto from = static_cast<std::ptrdiff_t>(below(other.size()));
                input.insert(input.end(), other.begin() + from, other.end());
            }
        }
    }

    const std::vector<bytes>& corpus_;
    std::mt19937_64 random_{random_seed};
};

void feed(const bytes& input) {
    // Exactly as large as the input, so that the sanitizer sees a read behind it.
    const bytes exact(input.begin(), input.end());
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
        return 2;
    }
    const std::vector<bytes> corpus = read_corpus(argv[1]);
    if (corpus.empty()) {
        std::fprintf(stderr, "%s: no seeds\n", argv[1]);
        return 1;
    }
    const std::size_t mutations = cairn::test::rounds(mutations_per_seed);
    std::printf("%zu seeds, %zu mutations of each, random seed %llu\n", corpus.size(), mutations,
                static_cast<unsigned long long>(random_seed));
    feed({});
    mutator random(corpus);
    for (const bytes& seed : corpus) {
        feed(seed);
        for (std::size_t n = 0; n < mutations; ++n) feed(random.mutate(seed));
    }
    return 0;
}
