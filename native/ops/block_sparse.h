// Which way to multiply an int8 matrix: dense, or by the blocks of it that hold something.
//
// In: row-major int8 weights and what each kernel costs. Out: a choice. Neighbour: ops/linear.cc packs
// accordingly.
#ifndef LIMBECK_OPS_BLOCK_SPARSE_H_
#define LIMBECK_OPS_BLOCK_SPARSE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/types.h"

namespace limbeck {

// Heights of blocks that the sparse kernels know; all are 4 inputs wide.
constexpr int kBlockHeights[] = {1, 2, 4, 8};
constexpr int kHeights = 4;

// Time to multiply one row by four inputs for a panel of tokens, relative to the dense kernel on the same machine.
// Measured by `limbeck tune`; the defaults are those of an AMD Zen 5 (docs/decisions/0008).
struct SparseCosts {
  float dense = 1.0f;
  float blocks[kHeights] = {1.9f, 1.25f, 1.08f, 1.05f};  // by height
  float row_of_blocks = 3.0f;                            // what a row of blocks costs beside its blocks

  // The defaults, for kernels that want pairs or for others. In pairs, blocks of four rows cost what they do in a dense
  // layer, which is made of them; so does a row of them, and what is given for it is far below what a Zen 3 takes (37).
  static SparseCosts Default(bool paired);
  // Costs by which blocks of one height (0: dense) are always the choice.
  static SparseCosts Only(int height);
};

// Blocks of each height that hold something in a stack of row-major matrices with `cols` inputs.
struct BlockCounts {
  int64_t rows = 0;
  int64_t quads = 0;
  int64_t kept[kHeights] = {};
  int64_t KeptOf(int height) const {
    return kept[std::find(kBlockHeights, kBlockHeights + kHeights, height) - kBlockHeights];
  }
};

class BlockCounter {
 public:
  explicit BlockCounter(int64_t cols);
  // The next row of the stack, [cols].
  void Add(const int8_t* row);
  BlockCounts Finish();

 private:
  // The row of blocks of a height in kBlockHeights, each of which is made of two of the height before.
  void Close(int place);

  const int64_t cols_;
  const int64_t quads_;
  BlockCounts counts_;
  std::vector<uint8_t> seen_[kHeights];  // [quads], within the row of blocks that is open
};

// Four inputs of a row, or the `width` that are left of it, as one word.
inline int32_t LoadQuad(const int8_t* from, int64_t width = kQuad) {
  int32_t four = 0;
  std::memcpy(&four, from, static_cast<size_t>(width));
  return four;
}

// Slices of the inputs in which the sparse kernel takes blocks of a height, in pairs or not: see
// kernels/spmm_u8s8_s32.
int64_t Slices(int64_t quads, int64_t block_rows, bool paired = false);

// Height of the blocks that are fastest, or 0 for dense.
int ChooseBlockHeight(const BlockCounts& counts, const SparseCosts& costs);

}  // namespace limbeck

#endif  // LIMBECK_OPS_BLOCK_SPARSE_H_
