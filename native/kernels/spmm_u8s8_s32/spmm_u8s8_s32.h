// Int8 linear layer with block-sparse weights: only blocks of `block_rows` output rows x 4 inputs that hold something
// are stored and multiplied.
//
//   sum[r][t] = sum over the stored k of w[r][k] * a[t][k]     exact, int32; what becomes of it: kernels/int8_output.h
//
// Low blocks load an activation for every product or two, so their inputs are cut into slices of which a few panels fit
// the first-level cache; between slices the sums wait, as integers, in the output.
//
// AVX2's kernel takes blocks two by two: what each row of blocks has in a slice is a list of pairs that are safe to be
// summed in 16 bits, and the last of them are turned: their products are with 255 - a where k is odd
// (ops/block_pairs.h).
//
// In: panels of 16 tokens, blocks by slice, then row, then input (ops/linear.cc packs). Out: float panels.
#ifndef LIMBECK_KERNELS_SPMM_U8S8_S32_H_
#define LIMBECK_KERNELS_SPMM_U8S8_S32_H_

#include "kernels/int8_output.h"

namespace limbeck {

struct SpmmU8S8Args {
  const uint8_t* a;      // [panels][quads][16][4]
  const int32_t* start;  // [slices][block_row_count + 1], the first block of each row of blocks in each slice
  const uint16_t* quad;  // [blocks], which four inputs
  const int8_t* w;       // [blocks][block_rows][4]
  int64_t quads;         // inputs / 4, rounded up
  int64_t slices;
  int64_t block_rows;  // 1, 2, 4 or 8
  int64_t block_row_count;
  const int32_t* turned;  // of pairs: [slices][block_row_count], the first block of each row's that is turned
  const int32_t* owed;    // of pairs: [groups * 8], what a row's sum lacks for it
  Int8Output output;      // several slices: not staged, and `residual` not `out`
};

// Computes row groups (of 8 rows) group_begin .. group_end - 1 for panels panel_begin .. panel_end - 1.
using SpmmU8S8Fn = void (*)(const SpmmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                            int64_t panel_end);

// Whether the kernel of an instruction set wants blocks in pairs; it then multiplies dense weights too.
constexpr bool WantsPairs(Isa isa) { return isa == Isa::kAvx2; }

#define LIMBECK_KERNEL(function, isa)                                                                  \
  void function(const SpmmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, \
                int64_t panel_end);
#include "kernels/spmm_u8s8_s32/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_SPMM_U8S8_S32_H_
