#include "shapes.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace graphgpo::bench {

Texts::Texts(std::size_t count, std::size_t text_bytes) : text_bytes_(text_bytes) {
    bytes_.reserve(count * text_bytes);
}

void Texts::append_observation(std::size_t code) {
    static constexpr std::string_view words =
        "You've entered a room that looks like any other room here. There are exits to the east "
        "and to the west, and on the floor there is nothing that anybody would want to take. ";
    const std::string text = "-= Room " + std::to_string(code) + " =- ";
    const std::size_t end = bytes_.size() + text_bytes_;
    bytes_ += std::string_view(text).substr(0, text_bytes_);
    while (bytes_.size() < end) bytes_ += words.substr(0, end - bytes_.size());
}

void Texts::append_random(Random& random) {
    const std::size_t begin = bytes_.size();
    bytes_.resize(begin + text_bytes_);
    for (std::size_t at = begin; at < bytes_.size(); at += sizeof(std::uint64_t)) {
        const std::uint64_t word = random();
        std::memcpy(bytes_.data() + at, &word, std::min(sizeof(word), bytes_.size() - at));
    }
}

std::vector<Key> Texts::keys() const {
    std::vector<Key> keys;
    keys.reserve(size());
    for (std::size_t i = 0; i < size(); ++i) keys.push_back(Key::view(KeyKind::text, (*this)[i]));
    return keys;
}

std::vector<std::size_t> revisited_codes(std::size_t count, std::size_t revisit_percent) {
    Random random(seed);
    std::vector<std::size_t> codes;
    codes.reserve(count);
    std::size_t num_distinct = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const bool is_revisit = num_distinct > 0 && below(random, 100) < revisit_percent;
        codes.push_back(is_revisit ? below(random, num_distinct) : num_distinct++);
    }
    return codes;
}

namespace {

TransitionGraph graph_with_goal(std::size_t size) {
    TransitionGraph graph;
    graph.num_nodes = size + 1;
    graph.goal = id_of(size);
    return graph;
}

void add_step(TransitionGraph& graph, std::size_t source, std::size_t target) {
    graph.source.push_back(id_of(source));
    graph.target.push_back(id_of(target));
}

}  // namespace

TransitionGraph chain_graph(std::size_t size) {
    TransitionGraph graph = graph_with_goal(size);
    for (std::size_t node = 0; node < size; ++node) add_step(graph, node, node + 1);
    return graph;
}

TransitionGraph star_graph(std::size_t size) {
    TransitionGraph graph = graph_with_goal(size);
    for (std::size_t node = 0; node < size; ++node) add_step(graph, node, size);
    return graph;
}

TransitionGraph random_graph(std::size_t size, std::size_t steps_per_node) {
    Random random(seed);
    TransitionGraph graph = graph_with_goal(size);
    for (std::size_t i = 0; i < size * steps_per_node; ++i) {
        add_step(graph, below(random, size), below(random, size + 1));
    }
    add_step(graph, below(random, size), size);
    return graph;
}

TransitionGraph long_graph(std::size_t size, std::size_t width) {
    constexpr std::size_t steps_per_node = 4;
    Random random(seed);
    TransitionGraph graph = graph_with_goal(size);
    for (std::size_t node = 0; node < size; ++node) {
        const std::size_t level = node / width;
        for (std::size_t i = 0; i < steps_per_node; ++i) {
            const bool goes_up = i == 0 || level == 0 || random() % 2 == 0;
            const std::size_t target_level = goes_up ? level + 1 : level - 1;
            add_step(graph, node, std::min(target_level * width + below(random, width), size));
        }
    }
    return graph;
}

std::vector<double> random_costs(std::size_t steps) {
    Random random(seed);
    std::vector<double> costs(steps);
    for (double& cost : costs) cost = static_cast<double>(1 + below(random, 10)) / 2;
    return costs;
}

Workload::Workload(const Walk& walk)
    : texts(walk.groups * walk.trajectories * walk.max_steps, walk.text_bytes),
      next_texts_(walk.groups * walk.trajectories * walk.max_steps, walk.text_bytes) {
    Random random(seed);
    std::size_t num_singletons = 0;
    for (std::size_t group = 0; group < walk.groups; ++group) {
        for (std::size_t trajectory = 0; trajectory < walk.trajectories; ++trajectory) {
            std::size_t room = trajectory * walk.starts / walk.trajectories;
            const std::size_t begin = codes.size();
            while (codes.size() - begin < walk.max_steps && room + 1 < walk.rooms) {
                const bool is_singleton = below(random, 100) < walk.singleton_percent;
                codes.push_back(
                    static_cast<std::int64_t>(is_singleton ? walk.rooms + num_singletons++ : room));
                if (below(random, 100) < walk.forward_percent) {
                    ++room;
                } else if (room > 0 && random() % 2 == 0) {
                    --room;
                }
            }
            group_ids.resize(codes.size(), static_cast<std::int64_t>(group));
            trajectory_ids.resize(codes.size(), static_cast<std::int64_t>(trajectory));
            success.resize(codes.size(), room + 1 == walk.rooms ? 1 : 0);
        }
    }

    for (const std::int64_t code : codes) texts.append_observation(static_cast<std::size_t>(code));
    keys = texts.keys();
    // The text of the step that follows, once more, as pickling leaves next_states.
    for (std::size_t step = 0; step < num_steps(); ++step) {
        const std::size_t next = std::min(step + 1, num_steps() - 1);
        next_texts_.append_observation(static_cast<std::size_t>(codes[next]));
    }
    next_keys = next_texts_.keys();
    for (std::size_t step = 0; step < num_steps(); ++step) {
        if (!is_followed(step)) next_keys[step] = Key();
    }
}

bool Workload::is_followed(std::size_t step) const noexcept {
    return step + 1 < num_steps() && group_ids[step] == group_ids[step + 1] &&
           trajectory_ids[step] == trajectory_ids[step + 1];
}

Batch Workload::text_batch() const {
    return {.states = std::span<const Key>(keys),
            .group_ids = std::span<const std::int64_t>(group_ids),
            .trajectory_ids = std::span<const std::int64_t>(trajectory_ids),
            .success = success};
}

Batch Workload::integer_batch() const {
    Batch batch = text_batch();
    batch.states = std::span<const std::int64_t>(codes);
    return batch;
}

}  // namespace graphgpo::bench
