// Blocks in pairs: the parts of each sum to it, and no input makes a pair overflow 16 bits.
#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "base/types.h"
#include "ops/block_pairs.h"
#include "tests/check.h"

namespace {

using limbeck::BlockPart;
using limbeck::kQuad;
using limbeck::PairedBlock;

using Block = std::array<int8_t, size_t{limbeck::kMostPairedRows} * kQuad>;

std::vector<PairedBlock> Pair(const std::vector<Block>& blocks, int64_t rows) {
  limbeck::BlockPairer pairer;
  for (size_t i = 0; i < blocks.size(); ++i) pairer.Add(static_cast<uint16_t>(i), blocks[i].data(), rows);
  std::vector<PairedBlock> order;
  const int64_t as_they_are = pairer.Finish(order);
  CHECK_THAT(as_they_are % 2 == 0, "%d blocks are no pairs", int(as_they_are));
  for (size_t i = 0; i < order.size(); ++i) {
    const BlockPart part = order[i].part;
    CHECK_THAT(part == BlockPart::kNothing || (part == BlockPart::kTurned) == (static_cast<int64_t>(i) >= as_they_are),
               "block %d is on the wrong side", int(i));
  }
  return order;
}

// The farthest that inputs from 0 to 255 can drive what `at` and its neighbour sum to with those of `other`.
void CheckSafe(const std::vector<Block>& blocks, const PairedBlock& one, const PairedBlock& other, int64_t rows) {
  for (int64_t at = 0; at < rows * kQuad; at += 2) {
    int positive = 0;
    int negative = 0;
    for (const PairedBlock& block : {one, other}) {
      for (int64_t i = at; i < at + 2; ++i) {
        const int w = StoredWeight(block.part, blocks[block.quad][static_cast<size_t>(i)], i);
        (w > 0 ? positive : negative) += 255 * w;
      }
    }
    CHECK_THAT(positive <= INT16_MAX && negative >= INT16_MIN, "a pair can reach %d or %d", positive, negative);
  }
}

// Returns pairs for a block.
double Check(const std::vector<Block>& blocks, int64_t rows) {
  const std::vector<PairedBlock> order = Pair(blocks, rows);
  CHECK_THAT(order.size() % 2 == 0, "%d blocks are no pairs", int(order.size()));
  std::vector<std::array<int, std::tuple_size_v<Block>>> sums(blocks.size());
  for (size_t i = 0; i < order.size(); i += 2) {
    CheckSafe(blocks, order[i], order[i + 1], rows);
    CHECK_THAT(order[i].part != BlockPart::kNothing, "two blocks of a pair hold nothing");
    for (const PairedBlock& block : {order[i], order[i + 1]}) {
      for (size_t k = 0; k < static_cast<size_t>(rows * kQuad); ++k) {
        const int w = StoredWeight(block.part, blocks[block.quad][k], static_cast<int64_t>(k));
        sums[block.quad][k] += block.part == BlockPart::kTurned && k % 2 == 1 ? -w : w;
      }
    }
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    for (size_t k = 0; k < static_cast<size_t>(rows * kQuad); ++k) {
      CHECK_THAT(sums[i][k] == blocks[i][k], "%d became %d", blocks[i][k], sums[i][k]);
    }
  }
  return static_cast<double>(order.size()) / 2 / static_cast<double>(std::max<size_t>(1, blocks.size()));
}

}  // namespace

int main() {
  std::mt19937 random(1);
  for (int64_t rows = 1; rows <= limbeck::kMostPairedRows; ++rows) {
    for (size_t count : {0, 1, 2, 3, 17, 192, 768}) {
      for (const double spread : {1.0, 20.0, 38.0, 60.0, 1000.0}) {
        std::vector<Block> blocks(count);
        std::normal_distribution<double> draw(0, spread);
        for (Block& block : blocks) {
          for (int8_t& w : block) w = static_cast<int8_t>(std::clamp(draw(random), -128.0, 127.0));
        }
        Check(blocks, rows);
      }
    }
  }
  // The worst: everything is split, and halves of 128 meet nothing but what they fit.
  for (const int value : {-128, -127, 127, 64, 65, -64, -65}) {
    Block block;
    block.fill(static_cast<int8_t>(value));
    const double pairs = Check(std::vector<Block>(64, block), 4);
    CHECK_THAT(pairs <= 2.0, "%f pairs for a block of %d", pairs, value);
  }
  // Nothing to be gained by splitting: half as many pairs as blocks, or one more.
  std::vector<Block> light(191);
  for (Block& block : light) block.fill(32);
  CHECK_THAT(Check(light, 4) <= 96.0 / 191.0, "light blocks do not meet");
  // What is unsafe as it is and safe when turned is not split: two such blocks fit unless they are so in the same row.
  std::vector<Block> opposed(64);
  for (size_t i = 0; i < opposed.size(); ++i) {
    opposed[i].fill(0);
    opposed[i][i % 2 * kQuad] = 100;
    opposed[i][i % 2 * kQuad + 1] = 29;
  }
  CHECK_THAT(Check(opposed, 4) == 0.5, "blocks that can be turned are split");
  // Weights spread as trained ones are: a sixth is turned, and next to all find a partner.
  std::vector<Block> trained(192);
  std::normal_distribution<double> draw(0, 38);
  double pairs = 0;
  for (int repeat = 0; repeat < 50; ++repeat) {
    for (Block& block : trained) {
      for (int8_t& w : block) w = static_cast<int8_t>(std::clamp(draw(random), -127.0, 127.0));
    }
    pairs += Check(trained, 4) / 50;
  }
  CHECK_THAT(pairs > 0.5 && pairs < 0.53, "%f pairs for a block", pairs);
  std::printf("%.3f pairs a block\n", pairs);
  return 0;
}
