#include "ops/linear.h"

#include <cassert>
#include <limits>
#include <string>

#include "base/error.h"

namespace limbeck {
namespace {

// sum of u8 * s8 over the inputs must fit int32, whatever the values.
constexpr int64_t kMaxInt8Inputs = std::numeric_limits<int32_t>::max() / (255 * 127);

int64_t StackedRows(const std::vector<MatrixView>& stacked) {
  int64_t rows = 0;
  for (const MatrixView& matrix : stacked) rows += matrix.rows;
  return rows;
}

}  // namespace

size_t Linear::PackedBytes(const std::vector<MatrixView>& stacked) {
  const int64_t rows = RoundUp(StackedRows(stacked), kRowGroup);
  const int64_t cols = stacked.front().cols;
  if (stacked.front().s8 == nullptr) return Slab::Need<float>(rows * cols) + Slab::Need<float>(rows);
  return Slab::Need<int8_t>(rows * RoundUp(cols, kQuad)) + 3 * Slab::Need<float>(rows);
}

Linear Linear::Pack(const std::vector<MatrixView>& stacked, Slab& slab) {
  Linear linear;
  linear.rows_ = StackedRows(stacked);
  linear.cols_ = stacked.front().cols;
  linear.packed_bytes_ = PackedBytes(stacked);
  const bool int8 = stacked.front().s8 != nullptr;
  const int64_t padded = linear.padded_rows();
  const int64_t cols = linear.cols_;
  const int64_t quads = RoundUp(cols, kQuad) / kQuad;
  if (int8 && cols > kMaxInt8Inputs) {
    throw Error("an int8 layer with " + std::to_string(cols) + " inputs could overflow its 32-bit sums; the most is " +
                std::to_string(kMaxInt8Inputs));
  }
  linear.bias_ = slab.Take<float>(padded);
  if (int8) {
    linear.packed_s8_ = slab.Take<int8_t>(padded * quads * kQuad);
    linear.row_scale_ = slab.Take<float>(padded);
    linear.row_sum_ = slab.Take<int32_t>(padded);
  } else {
    linear.packed_f32_ = slab.Take<float>(padded * cols);
  }
  int64_t row = 0;
  for (const MatrixView& matrix : stacked) {
    assert(matrix.cols == cols && (matrix.s8 != nullptr) == int8);
    for (int64_t r = 0; r < matrix.rows; ++r, ++row) {
      const int64_t group = row / kRowGroup;
      const int64_t lane = row % kRowGroup;
      linear.bias_[row] = matrix.bias[r];
      if (int8) {
        int32_t sum = 0;
        for (int64_t k = 0; k < cols; ++k) {
          const int8_t weight = matrix.s8[r * cols + k];
          sum += weight;
          linear.packed_s8_[((group * quads + k / kQuad) * kRowGroup + lane) * kQuad + k % kQuad] = weight;
        }
        linear.row_scale_[row] = matrix.scale[r];
        linear.row_sum_[row] = sum;
      } else {
        for (int64_t k = 0; k < cols; ++k) {
          linear.packed_f32_[(group * cols + k) * kRowGroup + lane] = matrix.f32[r * cols + k];
        }
      }
    }
  }
  return linear;
}

void Linear::RunF32(const Kernels& kernels, const float* input, int64_t input_rows, const float* residual,
                    int64_t residual_rows, float* out, int64_t out_rows, Activation activation,
                    const Range& range) const {
  const GemmF32Args args = {input, packed_f32_, bias_,         residual, out,
                            cols_, input_rows,  residual_rows, out_rows, activation};
  kernels.gemm_f32.run(args, range.group_begin, range.group_end, range.panel_begin, range.panel_end);
}

void Linear::RunInt8(const Kernels& kernels, const QuantizedPanels& input, const float* residual, int64_t residual_rows,
                     float* out, int64_t out_rows, Activation activation, const Range& range) const {
  const GemmU8S8Args args = {input.q,       input.scale, input.zero, packed_s8_, row_sum_,
                             row_scale_,    bias_,       residual,   out,        RoundUp(cols_, kQuad) / kQuad,
                             residual_rows, out_rows,    activation};
  kernels.gemm_u8s8.run(args, range.group_begin, range.group_end, range.panel_begin, range.panel_end);
}

}  // namespace limbeck
