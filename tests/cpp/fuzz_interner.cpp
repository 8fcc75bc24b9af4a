// libFuzzer: any bytes as keys, against a map. Tables of untrusted states must stay exact.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "graphgpo/columns.hpp"
#include "graphgpo/interner.hpp"

using namespace graphgpo;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto* bytes = reinterpret_cast<const char*>(data);
    Interner interner(size % 7);
    std::map<std::pair<int, std::string>, std::int32_t> expected;
    std::deque<std::string> long_texts;
    std::size_t at = 0;
    std::int32_t next = 0;
    while (at < size) {
        const auto kind = static_cast<KeyKind>(data[at] % 12);
        const std::size_t length = std::min<std::size_t>(data[at] / 12, size - at - 1);
        std::string_view view(bytes + at + 1, length);
        at += 1 + length;
        if (length > 16) {  // somewhere in a long text, of which the interner hashes a sample
            std::string& text = long_texts.emplace_back(400, 'x');
            text.replace(static_cast<unsigned char>(view[0]), length, view);
            view = text;
        }
        std::uint64_t word = 0;
        for (const char c : view) word = word << 8 | static_cast<unsigned char>(c);
        const bool is_word = kind <= KeyKind::boolean;
        const Key key = kind == KeyKind::null ? Key()
                        : is_word             ? Key::word(kind, word)
                                              : Key::view(kind, view);
        // An array's first byte is the size of its header.
        const bool is_array = kind == KeyKind::array;
        if (!is_array || (!view.empty() && static_cast<unsigned char>(view[0]) < view.size())) {
            (void)stable_key(key);
        }
        const std::string text = kind == KeyKind::null ? std::string()
                                 : is_word             ? std::to_string(word)
                                                       : std::string(view);
        const auto [found, is_new] =
            expected.emplace(std::pair(static_cast<int>(kind), text), next);
        if (is_new) ++next;
        if (interner.intern(key) != found->second) {
            std::fputs("interner and map disagree\n", stderr);
            std::abort();
        }
    }
    return 0;
}
