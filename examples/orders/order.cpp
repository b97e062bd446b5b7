// order STORE TEXT  hands an order over to the store: on its disk when the program ends with 0.
// order STORE       prints the orders that nobody read yet, and then each that comes.
#include <cairn/cairn.hpp>

#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    cairn::node node({.store = argv[1]});
    if (argc > 2) {
        cairn::publisher orders(node, "orders", {.source = "shop"});  // one, at each start
        orders.publish(argv[2]);
        if (orders.flush(5s) == 0) return 0;  // 0 messages are not flushed by the store
        std::cerr << "not stored within 5 s; does cairnd listen on " << argv[1] << "?\n";
        return 1;
    }
    const auto earliest = cairn::from::earliest();
    cairn::subscriber billing(node, "orders", {.from = earliest, .group = "billing"});
    for (const cairn::message& order : billing) {  // acked when the next is asked for
        std::cout << order.text() << std::endl;
        if (order.text() == "no more") {
            billing.ack(order);
            return billing.close(5s) == 0 ? 0 : 1;  // 0 acks are not stored
        }
    }
}
