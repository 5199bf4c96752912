#include "maxflow.h"

#include <algorithm>
#include <limits>
#include <new>

namespace weakseg {
namespace {

constexpr int kWaves = 3;

} // namespace

Flow::Flow(std::size_t spots, int pitch) : nodes_(static_cast<Node*>(std::calloc(spots, sizeof(Node)))) {
    if (!nodes_) throw std::bad_alloc();
    for (int direction = 0; direction < kDirections; ++direction) {
        offsets_[direction] = std::ptrdiff_t{kDown[direction]} * pitch + kRight[direction];
    }
}

void Flow::open(std::size_t spot, Capacity excess) {
    opens_.push_back(static_cast<Index>(spot));
    nodes_[spot].excess = excess;
    nodes_[spot].parent = kOrphan;
}

void Flow::solve() {
    value_ = total_excess();
    for (int direction = 0; direction < kDirections; ++direction) push_along(direction);
    for (int round = 0; round < kWaves; ++round) push_home();
    plant();
    for (Index index = next_active(); index != kNone;) {
        const Bridge bridge = grow(index);
        if (bridge.from == kNone) {
            index = next_active();
            continue;
        }
        ++time_;
        augment(bridge);
        adopt();
        if (nodes_[index].parent == kOrphan) index = next_active(); // else it has perhaps more bridges
    }
    value_ -= total_excess();
}

std::int64_t Flow::total_excess() const {
    std::int64_t total = 0;
    for (const Index index : opens_) total += std::max(nodes_[index].excess, 0);
    return total;
}

// The greatest flow along the lines of one direction. This leaves the trees with what is hard to bring home.
void Flow::push_along(int direction) {
    const auto each = [this](bool by_rows, const auto& visit) {
        if (by_rows) std::for_each(opens_.begin(), opens_.end(), visit);
        else std::for_each(opens_.rbegin(), opens_.rend(), visit);
    };
    const bool onwards = direction >= kDirections / 2;
    each(!onwards, [&](Index index) { // `distance`: how much it could send this way
        const Node& next = nodes_[neighbour(index, direction)];
        Node& node = nodes_[index];
        node.distance = std::min<Capacity>(node.residual[direction], std::max(next.distance - next.excess, 0));
    });
    each(onwards, [&](Index index) {
        Node& node = nodes_[index];
        const Capacity amount = std::min(node.excess, node.distance);
        if (amount <= 0) return;
        Node& next = nodes_[neighbour(index, direction)];
        node.excess -= amount;
        node.residual[direction] -= static_cast<std::uint16_t>(amount);
        next.excess += amount;
        next.residual[opposite(direction)] += static_cast<std::uint16_t>(amount);
    });
}

// Pushes all excess one shortest way towards a deficit, as far as there is room: what is stuck stays where it is.
void Flow::push_home() {
    ++time_;
    std::vector<Index>& order = active_; // by distance to a deficit
    order.clear();
    for (const Index index : opens_) {
        if (nodes_[index].excess >= 0) continue;
        nodes_[index].seen = time_;
        nodes_[index].distance = 0;
        order.push_back(index);
    }
    for (std::size_t next = 0; next < order.size(); ++next) {
        const int further = nodes_[order[next]].distance + 1;
        for (int direction = 0; direction < kDirections; ++direction) {
            const Index there = neighbour(order[next], direction);
            Node& node = nodes_[there];
            if (node.seen == time_ || node.residual[opposite(direction)] == 0) continue;
            node.seen = time_;
            node.distance = further;
            order.push_back(there);
        }
    }
    for (auto from = order.rbegin(); from != order.rend(); ++from) {
        Node& node = nodes_[*from];
        for (int direction = 0; direction < kDirections && node.excess > 0; ++direction) {
            Node& next = nodes_[neighbour(*from, direction)];
            if (next.seen != time_ || next.distance != node.distance - 1) continue;
            const Capacity amount = std::min<Capacity>(node.excess, node.residual[direction]);
            node.excess -= amount;
            node.residual[direction] -= static_cast<std::uint16_t>(amount);
            next.excess += amount;
            next.residual[opposite(direction)] += static_cast<std::uint16_t>(amount);
        }
    }
}

// Every node with an excess or a deficit is the root of a tree of its own.
void Flow::plant() {
    active_.assign(opens_.size(), kNone);
    for (const Index index : opens_) {
        Node& node = nodes_[index];
        node.tree = Tree::none;
        node.parent = kOrphan;
        node.queued = false;
        node.seen = time_;
        if (node.excess == 0) continue;
        node.tree = node.excess > 0 ? Tree::source : Tree::sink;
        node.parent = kRoot;
        node.distance = 1;
        activate(index);
    }
}

void Flow::activate(Index index) {
    if (nodes_[index].queued) return;
    nodes_[index].queued = true;
    std::size_t slot = first_ + waiting_++;
    if (slot >= active_.size()) slot -= active_.size();
    active_[slot] = index;
}

// The next node of a tree that may grow, or kNone.
Flow::Index Flow::next_active() {
    while (waiting_ > 0) {
        const Index index = active_[first_];
        first_ = first_ + 1 == active_.size() ? 0 : first_ + 1;
        --waiting_;
        nodes_[index].queued = false;
        if (nodes_[index].parent != kOrphan) return index;
    }
    return kNone;
}

// Takes free neighbours into a node's tree; stops at the first neighbour that belongs to the other tree.
Flow::Bridge Flow::grow(Index index) {
    const Node& here = nodes_[index];
    for (int direction = 0; direction < kDirections; ++direction) {
        if (outward(index, direction) == 0) continue;
        const Index there = neighbour(index, direction);
        Node& node = nodes_[there];
        const bool is_free = node.tree == Tree::none;
        if (!is_free && node.tree != here.tree) {
            if (here.tree == Tree::source) return {index, direction};
            return {there, opposite(direction)};
        }
        if (!is_free && (node.seen > here.seen || node.distance <= here.distance + 1)) continue; // no shorter way
        node.tree = here.tree;
        node.parent = static_cast<std::uint8_t>(opposite(direction));
        node.seen = here.seen;
        node.distance = here.distance + 1;
        if (is_free) activate(there);
    }
    return {kNone, 0};
}

void Flow::augment(Bridge bridge) {
    const Capacity amount = narrowest(bridge);
    const Index to = neighbour(bridge.from, bridge.direction);
    nodes_[bridge.from].residual[bridge.direction] -= static_cast<std::uint16_t>(amount);
    nodes_[to].residual[opposite(bridge.direction)] += static_cast<std::uint16_t>(amount);
    push_to_source(bridge.from, amount);
    push_to_sink(to, amount);
}

Capacity Flow::narrowest(Bridge bridge) const {
    Capacity least = nodes_[bridge.from].residual[bridge.direction];
    Index index = bridge.from;
    while (nodes_[index].parent != kRoot) {
        const int up = nodes_[index].parent;
        index = neighbour(index, up);
        least = std::min<Capacity>(least, nodes_[index].residual[opposite(up)]);
    }
    least = std::min(least, nodes_[index].excess);
    index = neighbour(bridge.from, bridge.direction);
    while (nodes_[index].parent != kRoot) {
        const int up = nodes_[index].parent;
        least = std::min<Capacity>(least, nodes_[index].residual[up]);
        index = neighbour(index, up);
    }
    return std::min(least, -nodes_[index].excess);
}

void Flow::push_to_source(Index index, int amount) {
    while (nodes_[index].parent != kRoot) {
        const int up = nodes_[index].parent;
        const Index above = neighbour(index, up);
        std::uint16_t& room = nodes_[above].residual[opposite(up)];
        nodes_[index].residual[up] += static_cast<std::uint16_t>(amount);
        room -= static_cast<std::uint16_t>(amount);
        if (room == 0) orphan(index);
        index = above;
    }
    nodes_[index].excess -= amount;
    if (nodes_[index].excess == 0) orphan(index);
}

void Flow::push_to_sink(Index index, int amount) {
    while (nodes_[index].parent != kRoot) {
        const int up = nodes_[index].parent;
        const Index above = neighbour(index, up);
        std::uint16_t& room = nodes_[index].residual[up];
        nodes_[above].residual[opposite(up)] += static_cast<std::uint16_t>(amount);
        room -= static_cast<std::uint16_t>(amount);
        if (room == 0) orphan(index);
        index = above;
    }
    nodes_[index].excess += amount;
    if (nodes_[index].excess == 0) orphan(index);
}

void Flow::orphan(Index index) {
    nodes_[index].parent = kOrphan;
    orphans_.push_back(index);
}

void Flow::adopt() {
    for (std::size_t next = 0; next < orphans_.size(); ++next) find_parent(orphans_[next]);
    orphans_.clear();
}

// Hangs an orphan on the neighbour of its tree that is nearest to the terminal; without one it is free.
void Flow::find_parent(Index index) {
    Node& node = nodes_[index];
    int nearest = std::numeric_limits<int>::max();
    int parent = kOrphan;
    for (int direction = 0; direction < kDirections; ++direction) {
        const Index there = neighbour(index, direction);
        if (nodes_[there].tree != node.tree || nodes_[there].parent == kOrphan) continue;
        if (inward(index, direction) == 0) continue;
        const int distance = distance_to_root(there);
        if (distance < 0) continue;
        if (distance < nearest) {
            nearest = distance;
            parent = direction;
        }
        mark_path(there, distance);
    }
    if (parent == kOrphan) return set_free(index);
    node.parent = static_cast<std::uint8_t>(parent);
    node.seen = time_;
    node.distance = nearest + 1;
}

// Steps from a node to its terminal, or -1 where its tree was cut off. Stops where the way is known already.
int Flow::distance_to_root(Index index) {
    for (int steps = 0;; ++steps) {
        const Node& node = nodes_[index];
        if (node.seen == time_) return steps + node.distance;
        if (node.parent == kOrphan) return -1;
        if (node.parent == kRoot) return steps + 1;
        index = neighbour(index, node.parent);
    }
}

// Notes the distances of all nodes on a way, so that it need not be walked again at this time.
void Flow::mark_path(Index index, int distance) {
    while (nodes_[index].seen != time_) {
        nodes_[index].seen = time_;
        nodes_[index].distance = distance--;
        if (nodes_[index].parent == kRoot) return;
        index = neighbour(index, nodes_[index].parent);
    }
}

void Flow::set_free(Index index) {
    Node& node = nodes_[index];
    for (int direction = 0; direction < kDirections; ++direction) {
        const Index there = neighbour(index, direction);
        if (nodes_[there].tree != node.tree) continue;
        if (inward(index, direction) > 0) activate(there);              // it may take this node back later
        if (nodes_[there].parent == opposite(direction)) orphan(there); // its parent is this node
    }
    node.tree = Tree::none;
}

} // namespace weakseg
