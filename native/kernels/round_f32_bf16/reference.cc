#include "kernels/round_f32_bf16/round_f32_bf16.h"

namespace limbeck {

void round_f32_bf16_reference(const float* x, int64_t rows, uint16_t* pairs) {
  for (int64_t row = 0; row < rows + rows % kPair; ++row) {
    for (int lane = 0; lane < kLanes; ++lane) {
      pairs[(row / kPair * kLanes + lane) * kPair + row % kPair] =
          row < rows ? ScalarToBf16(x[row * kLanes + lane]) : uint16_t{0};
    }
  }
}

}  // namespace limbeck
