// The search kernel in threads of the host: what it must find, and that its barriers are needed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <chrono>
#include <cstdint>
#include <limits>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/search.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/distances.hpp"

namespace graphgpo {
namespace {

using cuda::Barrier;

// Groups of nodes, as the kernel takes them.
struct Maze {
    std::vector<std::pair<StateId, StateId>> edges;  // group after group, source and target
    std::vector<double> costs = {};                  // empty: unit costs
    std::vector<StateId> goals;
    std::vector<std::int32_t> node_offsets;
    std::vector<std::int32_t> step_offsets;

    [[nodiscard]] std::size_t num_nodes() const { return index(node_offsets.back()); }
};

// Wide levels and long corridors; some nodes never reach a goal, some groups have none.
Maze random_maze(std::uint64_t seed, std::int32_t num_groups, std::int32_t nodes, bool has_costs) {
    std::mt19937_64 random(seed);
    Maze maze{.edges = {}, .goals = {}, .node_offsets = {0}, .step_offsets = {0}};
    for (std::int32_t g = 0; g < num_groups; ++g) {
        const std::int32_t first = maze.node_offsets.back();
        const auto node = [&] {
            return first + static_cast<StateId>(random() % static_cast<std::uint64_t>(nodes));
        };
        for (std::int32_t i = 1; i < nodes; ++i) {
            if (random() % 10 != 0) maze.edges.emplace_back(first + i, first + i - 1);
            maze.edges.emplace_back(node(), node());
        }
        maze.goals.push_back(random() % 8 == 0 ? none : node());
        maze.node_offsets.push_back(first + nodes);
        maze.step_offsets.push_back(static_cast<std::int32_t>(maze.edges.size()));
    }
    if (has_costs) {
        for (std::size_t i = 0; i < maze.edges.size(); ++i) {
            maze.costs.push_back(0.1 * static_cast<double>(1 + random() % 40));
        }
    }
    return maze;
}

std::vector<double> expected_distances(const Maze& maze) {
    std::vector<double> expected(maze.num_nodes(), std::numeric_limits<double>::infinity());
    for (std::size_t g = 0; g < maze.goals.size(); ++g) {
        const std::int32_t first = maze.node_offsets[g];
        if (maze.goals[g] == none) continue;
        TransitionGraph graph;
        Array<double> costs;
        graph.num_nodes = index(maze.node_offsets[g + 1] - first);
        graph.goal = maze.goals[g] - first;
        for (auto i = index(maze.step_offsets[g]); i < index(maze.step_offsets[g + 1]); ++i) {
            graph.source.push_back(maze.edges[i].first - first);
            graph.target.push_back(maze.edges[i].second - first);
            if (!maze.costs.empty()) costs.push_back(maze.costs[i]);
        }
        const Distances distances = distances_to_goal(graph, costs);
        for (std::size_t node = 0; node < graph.num_nodes; ++node) {
            const Distance distance = distances.to_goal[node];
            if (distances.is_finite(distance)) expected[index(first) + node] = distance;
        }
    }
    return expected;
}

// Real threads and a real barrier search all groups as one, or one after another. `dropped` is a
// barrier that mutants leave out.
std::vector<double> search_with_threads(const Maze& maze, bool as_one, std::int64_t threads,
                                        Barrier dropped) {
    const std::size_t nodes = maze.num_nodes();
    std::vector<std::int32_t> targets;
    for (const auto& [source, target] : maze.edges) targets.push_back(target);
    const Csr by_target = group_by_row(targets, nodes);
    std::vector<StateId> sources;
    std::vector<double> costs;
    for (const std::int32_t edge : by_target.items) {
        sources.push_back(maze.edges[index(edge)].first);
        costs.push_back(maze.costs.empty() ? 1 : maze.costs[index(edge)]);
    }
    std::vector<double> distance(nodes, std::numeric_limits<double>::infinity());
    std::vector<std::int32_t> queued_in(nodes, -1);
    // Room for what a mutant may queue beside the point.
    std::vector<StateId> frontiers[2];
    for (auto& frontier : frontiers) frontier.assign(8 * nodes + 1024, 0);
    std::vector<std::int32_t> queue_sizes(3 * (maze.goals.size() + 1), 0);
    const auto num_groups = static_cast<GroupId>(maze.goals.size());
    const cuda::Search search{.num_groups = num_groups,
                              .node_offsets = maze.node_offsets.data(),
                              .edge_offsets = by_target.offsets.data(),
                              .edge_source = sources.data(),
                              .edge_cost = costs.data(),
                              .goal = maze.goals.data(),
                              .distance = distance.data(),
                              .queued_in = queued_in.data(),
                              .frontier = {frontiers[0].data(), frontiers[1].data()},
                              .queue_sizes = queue_sizes.data()};
    std::barrier<> barrier(threads);
    const auto sync = [&](Barrier where) {
        if (where != dropped) barrier.arrive_and_wait();
    };
    std::vector<std::jthread> team;
    for (std::int64_t t = 0; t < threads; ++t) {
        team.emplace_back([&, t] {
            // Threads come one by one, as barriers have to expect.
            std::this_thread::sleep_for(std::chrono::microseconds(100 * (threads - t)));
            if (as_one) {
                cuda::search_from_goals(t, threads, sync, search, {0, num_groups, 0, num_groups});
                return;
            }
            for (GroupId g = 0; g < num_groups; ++g) {
                cuda::search_from_goals(t, threads, sync, search, {g, g + 1, 0, g});
            }
        });
    }
    team.clear();  // joins them
    return distance;
}

TEST(CudaSearch, OneThreadFindsTheCoresDistances) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        const Maze maze =
            random_maze(seed, 5, 2 + static_cast<std::int32_t>(seed) * 3, seed % 2 == 1);
        for (const bool as_one : {false, true}) {
            EXPECT_EQ(search_with_threads(maze, as_one, 1, Barrier::none), expected_distances(maze))
                << seed;
        }
    }
}

TEST(CudaSearch, ThreadsFindTheSameBits) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const Maze maze = random_maze(seed, 3, 60, seed % 2 == 1);
        for (const std::int64_t threads : {2, 4}) {
            for (const bool as_one : {false, true}) {
                EXPECT_EQ(search_with_threads(maze, as_one, threads, Barrier::none),
                          expected_distances(maze))
                    << seed;
            }
        }
    }
}

enum class Verdict { agrees, disagrees, hangs };

// In a process of its own: a kernel without a barrier may wait for ever or write anywhere.
Verdict judge(Barrier dropped) {
    const pid_t child = fork();
    if (child == 0) {
        // A race that ThreadSanitizer reports is a verdict too; no need to read the reports.
        if (freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
        for (std::uint64_t seed = 0; seed < 100; ++seed) {
            const Maze maze = random_maze(seed, 12, 40, seed % 2 == 1);
            if (search_with_threads(maze, true, 4, dropped) != expected_distances(maze)) _exit(1);
        }
        exit(0);  // with ThreadSanitizer's exit code, where it has one
    }
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (std::chrono::steady_clock::now() > limit) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return Verdict::hangs;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? Verdict::agrees : Verdict::disagrees;
}

TEST(CudaSearch, AgreesWithAllItsBarriers) { EXPECT_EQ(judge(Barrier::none), Verdict::agrees); }

TEST(CudaSearch, FailsWithoutTheBarrierAfterTheGoals) {
    EXPECT_NE(judge(Barrier::seeds), Verdict::agrees);
}

TEST(CudaSearch, FailsWithoutTheBarrierAfterARound) {
    EXPECT_NE(judge(Barrier::round), Verdict::agrees);
}

}  // namespace
}  // namespace graphgpo
