#include "graphgpo/potentials/alike.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

class Refinement {
  public:
    explicit Refinement(const Chances& chances)
        : chances_(&chances), place_(chances.size()), class_(chances.size()) {
        begin_by_what_nodes_are();
        if (num_classes() < size()) refine();
    }

    [[nodiscard]] Array<std::int32_t> found() && { return std::move(class_); }

  private:
    struct Class {
        std::size_t begin;  // into `members_`
        std::size_t end;
        std::size_t marked = 0;  // its first so many members
    };

    [[nodiscard]] std::size_t size() const noexcept { return members_.size(); }
    [[nodiscard]] std::size_t num_classes() const noexcept { return classes_.size(); }

    void begin_by_what_nodes_are() {
        const auto look = [this](StateId node) {
            meter_();
            const std::size_t at = index(node);
            return std::tuple(chances_->earned[at], chances_->leaving[at], chances_->staying[at]);
        };
        members_.resize(chances_->size());
        std::iota(members_.begin(), members_.end(), 0);
        std::ranges::sort(members_, {}, look);
        for (std::size_t i = 0; i < size(); ++i) {
            const bool is_new = i == 0 || look(members_[i]) != look(members_[i - 1]);
            if (is_new) {
                queue_.push_back(id_of(num_classes()));
                classes_.push_back({i, i});
            }
            classes_.back().end = i + 1;
            place_[index(members_[i])] = id_of(i);
            class_[index(members_[i])] = id_of(num_classes() - 1);
        }
    }

    void refine() {
        list_sources();
        count_.assign(size(), 0);
        for (std::size_t head = 0; head < queue_.size() && num_classes() < size(); ++head) {
            split_by(queue_[head]);
        }
    }

    void list_sources() {
        Array<std::int32_t>& offsets = source_offsets_;
        offsets.assign(size() + 2, 0);
        for (const auto& edge : chances_->edges) ++offsets[index(edge.target) + 2];
        std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
        sources_.resize(chances_->edges.size());
        for (std::size_t node = 0; node < size(); ++node) {
            for (const auto& [target, count] : chances_->of(id_of(node))) {
                sources_[index(offsets[index(target) + 1]++)] = {id_of(node), count};
            }
        }
    }

    // Every class by how many steps lead into this one.
    void split_by(std::int32_t splitter) {
        const Class& into = classes_[index(splitter)];
        touched_.clear();
        for (std::size_t i = into.begin; i < into.end; ++i) {
            const std::size_t target = index(members_[i]);
            const auto end = index(source_offsets_[target + 1]);
            for (auto at = index(source_offsets_[target]); at < end; ++at) {
                const auto& [source, count] = sources_[at];
                if (count_[index(source)] == 0) touched_.push_back(source);
                count_[index(source)] += count;
            }
        }
        marked_classes_.clear();
        for (const StateId node : touched_) {
            Class& of_node = classes_[index(class_[index(node)])];
            if (of_node.marked == 0) marked_classes_.push_back(class_[index(node)]);
            put(members_[of_node.begin + of_node.marked], index(place_[index(node)]));
            put(node, of_node.begin + of_node.marked++);
        }
        std::ranges::sort(marked_classes_);
        for (const std::int32_t marked : marked_classes_) split(marked);
        for (const StateId node : touched_) count_[index(node)] = 0;
        meter_(1 + touched_.size());
    }

    void put(StateId node, std::size_t place) {
        members_[place] = node;
        place_[index(node)] = id_of(place);
    }

    // By the counts of its members: those that are not marked have 0. The largest part keeps the
    // number, and its turn if it waits for one; the others get new ones by their counts.
    void split(std::int32_t number) {
        const Class whole = classes_[index(number)];
        classes_[index(number)].marked = 0;
        if (whole.end - whole.begin == 1) return;
        const auto count_of = [this](StateId node) { return count_[index(node)]; };
        const auto marked = std::span(members_).subspan(whole.begin, whole.marked);
        std::ranges::sort(marked, {}, count_of);
        parts_.clear();
        const std::size_t unmarked = whole.begin + whole.marked;
        if (unmarked < whole.end) parts_.push_back({unmarked, whole.end});
        for (std::size_t i = whole.begin; i < unmarked; ++i) {
            put(members_[i], i);
            const bool continues =
                i > whole.begin && count_of(members_[i]) == count_of(members_[i - 1]);
            if (!continues) parts_.push_back({i, i});
            parts_.back().end = i + 1;
        }
        if (parts_.size() == 1) return;
        const auto largest =
            std::ranges::max_element(parts_, {}, [](const Class& p) { return p.end - p.begin; });
        for (auto part = parts_.begin(); part != parts_.end(); ++part) {
            if (part == largest) continue;
            for (std::size_t i = part->begin; i < part->end; ++i) {
                class_[index(members_[i])] = id_of(num_classes());
            }
            queue_.push_back(id_of(num_classes()));
            classes_.push_back(*part);
        }
        classes_[index(number)].begin = largest->begin;
        classes_[index(number)].end = largest->end;
    }

    struct Source {
        StateId node;
        double count;
    };

    const Chances* chances_;
    Array<StateId> members_;     // class by class
    Array<std::int32_t> place_;  // by node, in `members_`
    Array<std::int32_t> class_;  // by node
    Array<Class> classes_;
    Array<std::int32_t> queue_;  // classes that others are yet to be split by
    Array<std::int32_t> source_offsets_;
    Array<Source> sources_;  // of the edges into every node
    Array<double> count_;    // by node: steps into the class at hand; 0 in between
    Array<StateId> touched_;
    Array<std::int32_t> marked_classes_;
    Array<Class> parts_;
    StopMeter meter_;
};

}  // namespace

Array<std::int32_t> classes_of(const Chances& chances) { return Refinement(chances).found(); }

Chances merge_classes(const Chances& chances, const Array<std::int32_t>& class_of) {
    const auto num_classes = index(std::ranges::max(class_of)) + 1;
    Array<StateId> member(num_classes);
    for (std::size_t node = 0; node < class_of.size(); ++node) {
        member[index(class_of[node])] = id_of(node);
    }
    Chances merged;
    merged.offsets.reserve(num_classes + 1);
    merged.offsets.push_back(0);
    merged.edges.reserve(chances.edges.size());
    Array<std::int32_t> place(num_classes, none);  // by target: its edge, if of this class
    StopMeter meter;
    for (std::size_t number = 0; number < num_classes; ++number) {
        const std::size_t node = index(member[number]);
        meter(1 + chances.of(id_of(node)).size());
        const auto first = merged.edges.size();
        double staying = chances.staying[node];
        for (const auto& [target, count] : chances.of(id_of(node))) {
            const std::int32_t to = class_of[index(target)];
            if (index(to) == number) {
                staying += count;
            } else if (place[index(to)] >= id_of(first)) {
                merged.edges[index(place[index(to)])].count += count;
            } else {
                place[index(to)] = id_of(merged.edges.size());
                merged.edges.push_back({to, count});
            }
        }
        std::ranges::sort(std::span(merged.edges).subspan(first), {}, &Chances::Edge::target);
        merged.offsets.push_back(id_of(merged.edges.size()));
        merged.staying.push_back(staying);
        merged.leaving.push_back(chances.leaving[node]);
        merged.earned.push_back(chances.earned[node]);
    }
    return merged;
}

}  // namespace graphgpo
