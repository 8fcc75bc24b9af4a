#include "graphgpo/state_hash.hpp"

#include <bit>
#include <random>

namespace graphgpo {

namespace {

// Little-endian on every host; compilers make one load of it.
template <int size>
std::uint64_t load(const char* bytes) noexcept {
    std::uint64_t word = 0;
    for (int i = 0; i < size; ++i) {
        word |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
    return word;
}

// The state goes into both factors, differently: for no fixed block is one of them known to be
// zero, and swapping the halves of a block does not swap the factors.
std::uint64_t absorb(const char* block, std::uint64_t state) noexcept {
    return fold(load<8>(block) ^ state, load<8>(block + 8) ^ std::rotl(state, 32));
}

}  // namespace

const HashSecret& process_secret() {
    static const HashSecret secret = [] {
        std::random_device device;
        HashSecret drawn{};
        for (std::uint64_t& word : drawn.words) {
            word = static_cast<std::uint64_t>(device()) << 32 | device();
        }
        return drawn;
    }();
    return secret;
}

std::uint64_t hash_bytes(const char* data, std::size_t size, std::uint64_t seed,
                         const HashSecret& secret) noexcept {
    const auto& [k0, k1, k2, k3, k4] = secret.words;
    std::uint64_t state = fold(seed ^ k0, size ^ k1);
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    if (size > 16) {
        std::size_t left = size;
        if (left > 48) {
            std::uint64_t second_chain = state ^ k2;
            std::uint64_t third_chain = state ^ k3;
            for (; left > 48; left -= 48, data += 48) {
                state = absorb(data, state);
                second_chain = absorb(data + 16, second_chain);
                third_chain = absorb(data + 32, third_chain);
            }
            state ^= std::rotl(second_chain, 21) ^ std::rotl(third_chain, 42);
        }
        for (; left > 16; left -= 16, data += 16) state = absorb(data, state);
        // The last 16 bytes, some of which may have been read before.
        first = load<8>(data + left - 16);
        last = load<8>(data + left - 8);
    } else if (size >= 8) {
        first = load<8>(data);
        last = load<8>(data + size - 8);
    } else if (size >= 4) {
        first = load<4>(data);
        last = load<4>(data + size - 4);
    } else if (size > 0) {
        first = load<1>(data) | load<1>(data + size / 2) << 8 | load<1>(data + size - 1) << 16;
    }
    return fold(fold(first ^ state, last ^ std::rotl(state, 32)), k4 ^ size);
}

}  // namespace graphgpo
