// Blocks of each height that hold something, against a count of every block by itself.
#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "ops/block_sparse.h"
#include "tests/check.h"

namespace {

int64_t Naive(const std::vector<int8_t>& weights, int64_t rows, int64_t cols, int64_t height) {
  int64_t kept = 0;
  for (int64_t top = 0; top < rows; top += height) {
    for (int64_t left = 0; left < cols; left += limbeck::kQuad) {
      bool holds = false;
      for (int64_t r = top; r < std::min(top + height, rows); ++r) {
        for (int64_t c = left; c < std::min<int64_t>(left + limbeck::kQuad, cols); ++c) {
          holds |= weights[static_cast<size_t>(r * cols + c)] != 0;
        }
      }
      kept += holds;
    }
  }
  return kept;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  for (int64_t rows = 0; rows <= 17; ++rows) {
    for (int64_t cols : {1, 3, 4, 7, 64, 67}) {
      for (double density : {0.0, 0.02, 0.2, 1.0}) {
        std::bernoulli_distribution holds(density);
        std::vector<int8_t> weights(static_cast<size_t>(rows * cols));
        for (int8_t& weight : weights) weight = holds(random) ? int8_t{-128} : int8_t{0};
        limbeck::BlockCounter counter(cols);
        for (int64_t r = 0; r < rows; ++r) counter.Add(weights.data() + r * cols);
        const limbeck::BlockCounts counts = counter.Finish();
        CHECK_THAT(counts.rows == rows && counts.quads == (cols + 3) / 4, "%ld x %ld: wrong size", rows, cols);
        for (int i = 0; i < limbeck::kHeights; ++i) {
          const int64_t expected = Naive(weights, rows, cols, limbeck::kBlockHeights[i]);
          CHECK_THAT(counts.kept[i] == expected, "%ld x %ld, height %d: %ld blocks, not %ld", rows, cols,
                     limbeck::kBlockHeights[i], counts.kept[i], expected);
        }
      }
    }
  }
  std::puts("block counter: ok");
  return 0;
}
