// A linear layer: weights packed for the kernels, and panels in, panels out.
//
// In: named float or int8 weights, possibly several matrices stacked (query, key, value). Out: Linear, which a layer
// calls for any range of row groups and panels. Neighbours: kernels/gemm_* compute, model/ decides the ranges.
#ifndef LIMBECK_OPS_LINEAR_H_
#define LIMBECK_OPS_LINEAR_H_

#include <cstdint>
#include <vector>

#include "base/slab.h"
#include "kernels/kernels.h"

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

// int8 panels with their scales and zero points.
struct QuantizedPanels {
  uint8_t* q = nullptr;     // [panels][quads][16][4]
  float* scale = nullptr;   // [panels][16]
  int32_t* zero = nullptr;  // [panels][16]
};

class Linear {
 public:
  // Bytes of slab that Pack takes for these matrices.
  static size_t PackedBytes(const std::vector<MatrixView>& stacked);

  // Stacks the matrices (equal cols, all f32 or all s8) and packs them. Throws Error where sums could overflow int32.
  static Linear Pack(const std::vector<MatrixView>& stacked, Slab& slab);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t groups() const { return RoundUp(rows_, kRowGroup) / kRowGroup; }
  // Feature rows of an output panel: rows(), rounded up to whole groups.
  int64_t padded_rows() const { return groups() * kRowGroup; }
  bool is_int8() const { return packed_s8_ != nullptr; }
  size_t packed_bytes() const { return packed_bytes_; }

  struct Range {
    int64_t group_begin;
    int64_t group_end;
    int64_t panel_begin;
    int64_t panel_end;
  };

  // out[:, rows] for the panels in range. `input` panels have input_rows feature rows; residual may be null.
  void RunF32(const Kernels& kernels, const float* input, int64_t input_rows, const float* residual,
              int64_t residual_rows, float* out, int64_t out_rows, Activation activation, const Range& range) const;
  void RunInt8(const Kernels& kernels, const QuantizedPanels& input, const float* residual, int64_t residual_rows,
               float* out, int64_t out_rows, Activation activation, const Range& range) const;

 private:
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  size_t packed_bytes_ = 0;
  float* packed_f32_ = nullptr;  // [groups][cols][8]
  int8_t* packed_s8_ = nullptr;  // [groups][quads][8][4]
  float* bias_ = nullptr;        // [groups * 8]
  float* row_scale_ = nullptr;   // [groups * 8]
  int32_t* row_sum_ = nullptr;   // [groups * 8]
};

}  // namespace limbeck

#endif  // LIMBECK_OPS_LINEAR_H_
