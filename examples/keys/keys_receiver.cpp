// keys_receiver ENDPOINT SECRET_FILE KEY...  prints letters from the holders of these keys.
#include <cairn/cairn.hpp>

#include <iostream>

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    const cairn::security_options security{.keys = cairn::load_keys(argv[2]),
                                           .allowed_keys = {argv + 3, argv + argc}};
    cairn::node node({.security = security});
    node.bind(argv[1]);
    cairn::puller letters(node, "letters");
    for (const cairn::job& letter : letters) std::cout << letter.text() << std::endl;
}
