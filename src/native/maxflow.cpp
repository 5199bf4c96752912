#include "maxflow.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace weakseg {

int Flow::add_node(Capacity excess) {
    Node node;
    node.neighbour.fill(-1);
    node.excess = excess;
    nodes_.push_back(node);
    return count() - 1;
}

void Flow::connect(int here, int there, int direction, Capacity capacity) {
    nodes_[here].neighbour[direction] = there;
    nodes_[here].residual[direction] = capacity;
    nodes_[there].neighbour[opposite(direction)] = here;
    nodes_[there].residual[opposite(direction)] = capacity;
}

void Flow::solve() {
    value_ = total_excess();
    for (int direction = 0; direction < kDirections; ++direction) push_along(direction);
    plant();
    for (int index = next_active(); index >= 0;) {
        const Bridge bridge = grow(index);
        if (bridge.from < 0) {
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
    for (const Node& node : nodes_) total += std::max(node.excess, 0);
    return total;
}

// The greatest flow along the lines of one direction. This leaves the trees with what is hard to bring home.
void Flow::push_along(int direction) {
    const bool forward = direction >= kDirections / 2; // to nodes that were added later, if they were added by rows
    std::vector<Capacity> demand(nodes_.size(), 0);    // how much a node could send this way
    const auto each = [this](bool ascending, const auto& visit) {
        if (ascending) {
            for (int index = 0; index < count(); ++index) visit(index);
        } else {
            for (int index = count() - 1; index >= 0; --index) visit(index);
        }
    };
    each(!forward, [&](int index) {
        const Node& node = nodes_[index];
        const int next = node.neighbour[direction];
        if (next < 0) return;
        demand[index] = std::min(node.residual[direction], std::max(demand[next] - nodes_[next].excess, 0));
    });
    each(forward, [&](int index) {
        Node& node = nodes_[index];
        const Capacity amount = std::min(node.excess, demand[index]);
        if (amount <= 0) return;
        Node& next = nodes_[node.neighbour[direction]];
        node.excess -= amount;
        node.residual[direction] -= amount;
        next.excess += amount;
        next.residual[opposite(direction)] += amount;
    });
}

// Every node with an excess or a deficit is the root of a tree of its own.
void Flow::plant() {
    active_.assign(nodes_.size(), 0);
    first_ = waiting_ = 0;
    time_ = 0;
    for (int index = 0; index < count(); ++index) {
        Node& node = nodes_[index];
        if (node.excess == 0) continue;
        node.tree = node.excess > 0 ? Tree::source : Tree::sink;
        node.parent = kRoot;
        node.distance = 1;
        activate(index);
    }
}

void Flow::activate(int index) {
    if (nodes_[index].queued) return;
    nodes_[index].queued = true;
    std::size_t slot = first_ + waiting_++;
    if (slot >= active_.size()) slot -= active_.size();
    active_[slot] = index;
}

// The next node of a tree that may grow, or -1.
int Flow::next_active() {
    while (waiting_ > 0) {
        const int index = active_[first_];
        first_ = first_ + 1 == active_.size() ? 0 : first_ + 1;
        --waiting_;
        nodes_[index].queued = false;
        if (nodes_[index].parent != kOrphan) return index;
    }
    return -1;
}

// Takes free neighbours into a node's tree; stops at the first neighbour that belongs to the other tree.
Flow::Bridge Flow::grow(int index) {
    const Node& here = nodes_[index];
    for (int direction = 0; direction < kDirections; ++direction) {
        const int there = here.neighbour[direction];
        if (there < 0 || outward(here, direction) == 0) continue;
        Node& node = nodes_[there];
        if (node.tree == Tree::none) {
            node.tree = here.tree;
            node.parent = static_cast<std::int8_t>(opposite(direction));
            node.seen = here.seen;
            node.distance = here.distance + 1;
            activate(there);
        } else if (node.tree != here.tree) {
            if (here.tree == Tree::source) return {index, direction};
            return {there, opposite(direction)};
        } else if (node.seen <= here.seen && node.distance > here.distance + 1) { // a shorter way to the terminal
            node.parent = static_cast<std::int8_t>(opposite(direction));
            node.seen = here.seen;
            node.distance = here.distance + 1;
        }
    }
    return {};
}

void Flow::augment(Bridge bridge) {
    const Capacity amount = narrowest(bridge);
    Node& from = nodes_[bridge.from];
    const int to = from.neighbour[bridge.direction];
    from.residual[bridge.direction] -= amount;
    nodes_[to].residual[opposite(bridge.direction)] += amount;
    push_to_source(bridge.from, amount);
    push_to_sink(to, amount);
}

Capacity Flow::narrowest(Bridge bridge) const {
    const Node* node = &nodes_[bridge.from];
    Capacity least = node->residual[bridge.direction];
    const int to = node->neighbour[bridge.direction];
    for (; node->parent != kRoot; node = &nodes_[node->neighbour[node->parent]]) {
        least = std::min(least, nodes_[node->neighbour[node->parent]].residual[opposite(node->parent)]);
    }
    least = std::min(least, node->excess);
    for (node = &nodes_[to]; node->parent != kRoot; node = &nodes_[node->neighbour[node->parent]]) {
        least = std::min(least, node->residual[node->parent]);
    }
    return std::min(least, -node->excess);
}

void Flow::push_to_source(int index, Capacity amount) {
    while (nodes_[index].parent != kRoot) {
        Node& node = nodes_[index];
        const int up = node.neighbour[node.parent];
        Capacity& room = nodes_[up].residual[opposite(node.parent)];
        node.residual[node.parent] += amount;
        room -= amount;
        if (room == 0) orphan(index);
        index = up;
    }
    nodes_[index].excess -= amount;
    if (nodes_[index].excess == 0) orphan(index);
}

void Flow::push_to_sink(int index, Capacity amount) {
    while (nodes_[index].parent != kRoot) {
        Node& node = nodes_[index];
        const int up = node.neighbour[node.parent];
        nodes_[up].residual[opposite(node.parent)] += amount;
        node.residual[node.parent] -= amount;
        if (node.residual[node.parent] == 0) orphan(index);
        index = up;
    }
    nodes_[index].excess += amount;
    if (nodes_[index].excess == 0) orphan(index);
}

void Flow::orphan(int index) {
    nodes_[index].parent = kOrphan;
    orphans_.push_back(index);
}

void Flow::adopt() {
    for (std::size_t next = 0; next < orphans_.size(); ++next) find_parent(orphans_[next]);
    orphans_.clear();
}

// Hangs an orphan on the neighbour of its tree that is nearest to the terminal; without one it is free.
void Flow::find_parent(int index) {
    Node& node = nodes_[index];
    int nearest = std::numeric_limits<int>::max();
    int parent = kOrphan;
    for (int direction = 0; direction < kDirections; ++direction) {
        const int there = node.neighbour[direction];
        if (there < 0 || nodes_[there].tree != node.tree || nodes_[there].parent == kOrphan) continue;
        if (inward(node, direction) == 0) continue;
        const int distance = distance_to_root(there);
        if (distance < 0) continue;
        if (distance < nearest) {
            nearest = distance;
            parent = direction;
        }
        mark_path(there, distance);
    }
    if (parent == kOrphan) return set_free(index);
    node.parent = static_cast<std::int8_t>(parent);
    node.seen = time_;
    node.distance = nearest + 1;
}

// Steps from a node to its terminal, or -1 where its tree was cut off. Stops where the way is known already.
int Flow::distance_to_root(int index) {
    int steps = 0;
    for (const Node* node = &nodes_[index];; node = &nodes_[node->neighbour[node->parent]]) {
        if (node->seen == time_) return steps + node->distance;
        if (node->parent == kOrphan) return -1;
        ++steps;
        if (node->parent == kRoot) return steps;
    }
}

// Notes the distances of all nodes on a way, so that it need not be walked again at this time.
void Flow::mark_path(int index, int distance) {
    for (Node* node = &nodes_[index]; node->seen != time_; node = &nodes_[node->neighbour[node->parent]]) {
        node->seen = time_;
        node->distance = distance--;
        if (node->parent == kRoot) return;
    }
}

void Flow::set_free(int index) {
    Node& node = nodes_[index];
    for (int direction = 0; direction < kDirections; ++direction) {
        const int there = node.neighbour[direction];
        if (there < 0) continue;
        const Node& other = nodes_[there];
        if (other.tree != node.tree) continue;
        if (inward(node, direction) > 0) activate(there); // it may take this node back later
        if (other.parent == opposite(direction)) orphan(there); // its parent is this node
    }
    node.tree = Tree::none;
}

} // namespace weakseg
