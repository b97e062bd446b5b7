#include <cairn/cairn.hpp>
#include <iostream>

int main() {
    cairn::node node;
    node.connect("tcp://127.0.0.1:5555");
    cairn::puller queue{node, "hello"};
    for (const cairn::job& job : queue) std::cout << job.text() << std::endl;
}
