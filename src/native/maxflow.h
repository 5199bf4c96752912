// Maximum flow on graphs whose nodes have at most eight neighbours, as the pixels of a photo have.
//
// Boykov & Kolmogorov, "An Experimental Comparison of Min-Cut/Max-Flow Algorithms for Energy Minimization in Vision",
// PAMI 2004. No difference from the paper. Capacities are integers, so that the cut is exact and the same everywhere.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weakseg {

using Capacity = std::int32_t;

constexpr int kDirections = 8;

// The direction that leads back. Directions are numbered in the order of rows, the node itself left out:
// 0 1 2 / 3 . 4 / 5 6 7.
constexpr int opposite(int direction) { return kDirections - 1 - direction; }

class Flow {
public:
    // Reserves memory; nodes are added one by one.
    explicit Flow(std::size_t expected_nodes) { nodes_.reserve(expected_nodes); }

    // A node that costs `excess` more on the sink's side than on the source's (negative: on the source's side).
    // Returns its number: 0, 1, 2 ...
    int add_node(Capacity excess);

    // A node's excess grows by this much.
    void add_excess(int node, Capacity excess) { nodes_[node].excess += excess; }

    // `there` becomes the neighbour of `here` in a direction: parting them costs `capacity`, whichever way.
    void connect(int here, int there, int direction, Capacity capacity);

    // Finds the least cut.
    void solve();

    // Whether a node is on the source's side. Where several cuts cost the same, the source's side is the largest.
    bool on_source_side(int node) const { return nodes_[node].tree != Tree::sink; }

    // What flows: the cost of the least cut, where a node on the sink's side costs its excess, and one on the source's
    // side its deficit.
    std::int64_t value() const { return value_; }

    int count() const { return static_cast<int>(nodes_.size()); }

private:
    enum class Tree : std::uint8_t { none, source, sink };
    static constexpr std::int8_t kRoot = kDirections;       // its parent is the terminal itself
    static constexpr std::int8_t kOrphan = kDirections + 1; // has lost its parent, or never had one

    struct Node {
        std::array<std::int32_t, kDirections> neighbour; // -1: none
        std::array<Capacity, kDirections> residual{};    // of the edge to that neighbour
        Capacity excess;                                 // residual from the source (> 0) or to the sink (< 0)
        std::int32_t distance = 0;                       // to the terminal, as known at time `seen`
        std::int32_t seen = 0;
        std::int8_t parent = kOrphan; // a direction, kRoot or kOrphan
        Tree tree = Tree::none;
        bool queued = false;
    };

    struct Bridge { // an edge with room, from the source's tree to the sink's
        int from = -1;
        int direction = 0;
    };

    std::int64_t total_excess() const;
    void push_along(int direction);
    void plant();
    void activate(int index);
    int next_active();
    Bridge grow(int index);
    void augment(Bridge bridge);
    Capacity narrowest(Bridge bridge) const;
    void push_to_source(int index, Capacity amount);
    void push_to_sink(int index, Capacity amount);
    void adopt();
    void find_parent(int index);
    void set_free(int index);
    int distance_to_root(int index);
    void mark_path(int index, int distance);
    void orphan(int index);

    // Residual of the edge by which flow could run from the root through `here` to its neighbour (source's tree),
    // or from the neighbour through `here` to the root (sink's tree).
    Capacity outward(const Node& here, int direction) const {
        return here.tree == Tree::source ? here.residual[direction]
                                         : nodes_[here.neighbour[direction]].residual[opposite(direction)];
    }

    Capacity inward(const Node& here, int direction) const {
        return here.tree == Tree::sink ? here.residual[direction]
                                       : nodes_[here.neighbour[direction]].residual[opposite(direction)];
    }

    std::vector<Node> nodes_;
    std::vector<std::int32_t> active_; // a ring: a node is in it once at most
    std::size_t first_ = 0, waiting_ = 0;
    std::vector<std::int32_t> orphans_;
    std::int32_t time_ = 0;
    std::int64_t value_ = 0;
};

} // namespace weakseg
