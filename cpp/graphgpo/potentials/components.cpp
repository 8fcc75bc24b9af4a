#include "graphgpo/potentials/components.hpp"

#include <algorithm>

#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

class ComponentSearch {
  public:
    explicit ComponentSearch(const Chances& chances) : chances_(&chances) {
        const std::size_t nodes = chances.size();
        visits_.assign(nodes, {});
        found_.of.assign(nodes, none);
        found_.nodes.reserve(nodes);
        found_.offsets.push_back(0);
        for (std::size_t node = 0; node < nodes; ++node) {
            if (visits_[node].low == none) search(id_of(node));
        }
    }

    [[nodiscard]] Components found() && { return std::move(found_); }

  private:
    struct Visit {
        std::int32_t entered = none;  // in which order; `none`: not yet
        std::int32_t low = none;      // the earliest open node it is known to lead to
        std::int32_t next_edge = 0;
    };

    void search(StateId root) {
        enter(root);
        while (!path_.empty()) {
            meter_();
            const StateId node = path_.back();
            Visit& visit = visits_[index(node)];
            const auto edges = chances_->of(node);
            bool goes_deeper = false;
            while (index(visit.next_edge) < edges.size()) {
                const StateId target = edges[index(visit.next_edge++)].target;
                const Visit& of_target = visits_[index(target)];
                if (of_target.low == none) {
                    enter(target);
                    goes_deeper = true;
                    break;
                }
                if (found_.of[index(target)] == none) {
                    visit.low = std::min(visit.low, of_target.low);
                }
            }
            if (goes_deeper) continue;
            path_.pop_back();
            if (!path_.empty()) {
                std::int32_t& low = visits_[index(path_.back())].low;
                low = std::min(low, visit.low);
            }
            if (visit.low == visit.entered) close(node);
        }
    }
    void enter(StateId node) {
        Visit& visit = visits_[index(node)];
        visit.entered = visit.low = num_entered_++;
        path_.push_back(node);
        open_.push_back(node);
    }
    void close(StateId first) {
        const auto component = id_of(found_.size());
        for (StateId node = none; node != first;) {
            node = open_.back();
            open_.pop_back();
            found_.of[index(node)] = component;
            found_.nodes.push_back(node);
        }
        found_.offsets.push_back(id_of(found_.nodes.size()));
    }

    const Chances* chances_;
    Components found_;
    Array<Visit> visits_;
    Array<StateId> path_;
    Array<StateId> open_;
    std::int32_t num_entered_ = 0;
    StopMeter meter_;
};

}  // namespace

Components components_of(const Chances& chances) { return ComponentSearch(chances).found(); }

}  // namespace graphgpo
