// Maximum flow on a grid of pixels, each joined to its eight neighbours.
//
// Boykov & Kolmogorov, "An Experimental Comparison of Min-Cut/Max-Flow Algorithms for Energy Minimization in Vision",
// PAMI 2004; no difference from the paper, but that flow along straight lines is found first. Capacities are whole numbers,
// so that the cut is exact and the same everywhere.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace weakseg {

using Capacity = std::int32_t;

constexpr int kDirections = 8;
constexpr Capacity kMostPrice = 32767; // of parting two neighbours: flow may double the room of one direction

// Where a direction leads. They are numbered by rows, the pixel itself left out: 0 1 2 / 3 . 4 / 5 6 7.
constexpr std::array<int, kDirections> kDown{-1, -1, -1, 0, 0, 1, 1, 1};
constexpr std::array<int, kDirections> kRight{-1, 0, 1, -1, 1, -1, 0, 1};

// The direction that leads back.
constexpr int opposite(int direction) { return kDirections - 1 - direction; }

class Flow {
public:
    // A grid of `spots` pixels in rows of `pitch`, frame included. Memory is touched only where pixels are opened.
    Flow(std::size_t spots, int pitch);

    // A pixel that costs `excess` more on the sink's side than on the source's (negative: on the source's side). Pixels
    // are opened by rows.
    void open(std::size_t spot, Capacity excess);

    // Parting an open pixel from its open neighbour costs `price`, from 0 to kMostPrice.
    void connect(std::size_t spot, int direction, Capacity price) {
        nodes_[spot].residual[direction] = static_cast<std::uint16_t>(price);
        nodes_[spot + offsets_[direction]].residual[opposite(direction)] = static_cast<std::uint16_t>(price);
    }

    // An open pixel's excess grows by so much.
    void add_excess(std::size_t spot, Capacity more) { nodes_[spot].excess += more; }

    // Finds the least cut. After a change of excess it can be found again, and quickly if little has changed: what flows
    // already, flows on (Kohli & Torr, PAMI 2007).
    void solve();

    // Whether an open pixel is on the source's side. Where several cuts cost the same, the source's side is the largest.
    bool on_source_side(std::size_t spot) const { return nodes_[spot].tree != Tree::sink; }

    // What flows since excess was last changed; for the first time, the cost of the least cut, where a pixel on the sink's
    // side costs its excess, and one on the source's side its deficit.
    std::int64_t value() const { return value_; }

private:
    using Index = std::uint32_t;
    static constexpr Index kNone = 0; // a spot of the frame
    enum class Tree : std::uint8_t { none, source, sink };
    static constexpr std::uint8_t kRoot = kDirections;       // its parent is the terminal itself
    static constexpr std::uint8_t kOrphan = kDirections + 1; // has lost its parent, or never had one

    struct Node {                                        // 32 bytes: two in a cache line
        std::array<std::uint16_t, kDirections> residual; // of the edge to each neighbour
        Capacity excess;                                 // residual from the source (> 0) or to the sink (< 0)
        std::int32_t distance; // to the terminal, as known at time `seen`; before there are trees, see `push_along`
        std::int32_t seen;
        std::uint8_t parent; // a direction, kRoot or kOrphan
        Tree tree;
        bool queued;
    };

    struct Bridge { // an edge with room, from the source's tree to the sink's
        Index from;
        int direction;
    };

    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };

    std::int64_t total_excess() const;
    void push_along(int direction);
    void push_home();
    void plant();
    void activate(Index index);
    Index next_active();
    Bridge grow(Index index);
    void augment(Bridge bridge);
    Capacity narrowest(Bridge bridge) const;
    void push_to_source(Index index, int amount);
    void push_to_sink(Index index, int amount);
    void adopt();
    void find_parent(Index index);
    void set_free(Index index);
    int distance_to_root(Index index);
    void mark_path(Index index, int distance);
    void orphan(Index index);

    Index neighbour(Index index, int direction) const { return index + static_cast<Index>(offsets_[direction]); }

    // Room for flow from a node to its neighbour in the source's tree, where trees grow away from the terminal; in the
    // sink's tree the other way round.
    int outward(Index index, int direction) const {
        return nodes_[index].tree == Tree::source ? nodes_[index].residual[direction]
                                                  : nodes_[neighbour(index, direction)].residual[opposite(direction)];
    }

    int inward(Index index, int direction) const {
        return nodes_[index].tree == Tree::sink ? nodes_[index].residual[direction]
                                                : nodes_[neighbour(index, direction)].residual[opposite(direction)];
    }

    std::array<std::ptrdiff_t, kDirections> offsets_;
    std::unique_ptr<Node[], Free> nodes_; // by spot; zeros where closed
    std::vector<Index> opens_;            // by rows
    std::vector<Index> active_;           // a ring: a node is in it once at most
    std::size_t first_ = 0, waiting_ = 0;
    std::vector<Index> orphans_;
    std::int32_t time_ = 0;
    std::int64_t value_ = 0;
};

} // namespace weakseg
