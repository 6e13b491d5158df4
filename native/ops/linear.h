// A linear layer: weights packed for the kernels, and panels in, panels out.
//
// In: named float or int8 weights, possibly several matrices stacked (query, key, value). Out: Linear, which a layer
// calls for any range of row groups and panels. Neighbours: kernels/gemm_* and spmm_* compute, model/ decides the
// ranges.
#ifndef LIMBECK_OPS_LINEAR_H_
#define LIMBECK_OPS_LINEAR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/slab.h"
#include "kernels/kernels.h"
#include "ops/block_pairs.h"
#include "ops/block_sparse.h"

namespace limbeck {

// Row-major weights of one matrix: f32, or s8 with one scale a row.
struct MatrixView {
  int64_t rows = 0;
  int64_t cols = 0;
  const float* f32 = nullptr;
  const int8_t* s8 = nullptr;
  const float* scale = nullptr;  // [rows] with s8
  const float* bias = nullptr;   // [rows]
};

// How a layer multiplies.
enum class Arithmetic { kF32, kBf16, kInt8 };

// int8 panels with their scales and zero points.
struct QuantizedPanels {
  uint8_t* q = nullptr;     // [panels][quads][16][4]
  float* scale = nullptr;   // [panels][16]
  int32_t* zero = nullptr;  // [panels][16]
};

class Linear {
 public:
  // Blocks in the order in which they will be stored, for kernels that want pairs.
  struct Pairs {
    std::vector<PairedBlock> blocks;
    std::vector<int32_t> start;   // [slices][rows of blocks + 1]
    std::vector<int32_t> turned;  // [slices][rows of blocks], the first turned one of each
  };

  // How a stack of matrices (equal cols, all s8 for kInt8, else all f32) will be packed, and the bytes of slab that it
  // takes.
  struct Plan {
    int64_t rows = 0;
    int64_t cols = 0;
    Arithmetic arithmetic = Arithmetic::kF32;
    int block_rows = 0;                  // of the pattern; 0: dense
    int64_t blocks = 0;                  // of the pattern
    int stored_rows = 0;                 // rows of a stored block; 0: none, for the dense kernel
    int64_t stored = 0;                  // blocks
    int64_t slices = 1;                  // of the inputs, for the sparse kernel
    std::shared_ptr<const Pairs> pairs;  // until it is packed
    size_t bytes = 0;
  };
  // For the kernels of `isa`. `staged`: the outputs will be. Throws Error where sums could overflow int32.
  static Plan MakePlan(const std::vector<MatrixView>& stacked, Arithmetic arithmetic, const SparseCosts& costs, Isa isa,
                       bool staged = false);
  static Linear Pack(const std::vector<MatrixView>& stacked, const Plan& plan, Slab& slab);

  int64_t rows() const { return plan_.rows; }
  int64_t cols() const { return plan_.cols; }
  int64_t groups() const { return RoundUp(rows(), kRowGroup) / kRowGroup; }
  // Feature rows of an output panel: rows(), rounded up to whole groups.
  int64_t padded_rows() const { return groups() * kRowGroup; }
  const Plan& plan() const { return plan_; }
  // The name of the kernel that runs it.
  const char* KernelName(const Kernels& kernels) const;
  // Multiplications and additions for one panel of tokens: those of the stored blocks.
  int64_t operations_per_panel() const;
  // First row group of `part` when the work is split evenly into `parts`.
  int64_t SplitGroups(int64_t parts, int64_t part) const;

  struct Range {
    int64_t group_begin;
    int64_t group_end;
    int64_t panel_begin;
    int64_t panel_end;
  };

  // Where an int8 layer's outputs go: as floats, with a residual or without; activated and in half precision, with
  // their range, for the quantiser; or activated and quantised, in a range known beforehand.
  struct Target {
    int64_t rows;                     // feature rows of a panel of every buffer here
    float* out = nullptr;             // [panels][rows][16]
    const float* residual = nullptr;  // [panels][rows][16]; must not be `out`
    uint16_t* staged = nullptr;       // [panels][rows][16], where out is null
    float* low = nullptr;             // [panels][16]
    float* high = nullptr;
    Activation activation = Activation::kIdentity;
    FixedRange fixed = {};  // with its q, where out is null: activated and quantised
  };

  // out[:, rows] for the panels in range. `input` panels have input_rows feature rows; residual may be null.
  void RunF32(const Kernels& kernels, const float* input, int64_t input_rows, const float* residual,
              int64_t residual_rows, float* out, int64_t out_rows, Activation activation, const Range& range) const;
  // `input`: pairs of bfloat16, panels of input_rows. Where `out` is null, outputs become pairs for the next layer.
  void RunBf16(const Kernels& kernels, const uint16_t* input, int64_t input_rows, const float* residual, float* out,
               uint16_t* out_pairs, int64_t out_rows, Activation activation, const Range& range) const;
  void RunInt8(const Kernels& kernels, const QuantizedPanels& input, const Target& target, const Range& range) const;

 private:
  int64_t pairs() const { return RoundUp(cols(), kPair) / kPair; }
  void PackFloats(const std::vector<MatrixView>& stacked, Slab& slab);
  void PackBf16(const std::vector<MatrixView>& stacked, Slab& slab);
  void PackDense(const std::vector<MatrixView>& stacked, Slab& slab);
  void PackBlocks(const std::vector<MatrixView>& stacked, Slab& slab);
  void PackPairs(const std::vector<MatrixView>& stacked, const Pairs& pairs, Slab& slab);

  Plan plan_;
  float* packed_f32_ = nullptr;      // [groups][cols][8]
  uint16_t* packed_bf16_ = nullptr;  // [groups][pairs][8][2]
  int8_t* packed_s8_ = nullptr;      // dense: [groups][quads][8][4]; blocks: [stored][stored_rows][4]
  int32_t* block_start_ = nullptr;   // [slices][groups * 8 / stored_rows + 1]
  uint16_t* block_quad_ = nullptr;   // [stored]
  int32_t* block_turned_ = nullptr;  // with pairs: [slices][groups * 8 / stored_rows]
  int32_t* owed_ = nullptr;          // with pairs: [groups * 8]
  float* bias_ = nullptr;            // [groups * 8]
  float* row_scale_ = nullptr;       // [groups * 8]
  int32_t* row_sum_ = nullptr;       // [groups * 8]
};

}  // namespace limbeck

#endif  // LIMBECK_OPS_LINEAR_H_
