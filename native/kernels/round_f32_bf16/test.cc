// The reference against the definition of rounding, every kernel against the reference, bit for bit.
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/bf16_kernels.h"
#include "tests/check.h"

namespace {

using namespace limbeck;
using test::Buffer;

// The nearest of the two neighbours, and the even one of two that are equally near.
void CheckScalar(float x) {
  const uint16_t found = ScalarToBf16(x);
  const float value = ScalarFromBf16(found);
  if (std::isnan(x)) {
    CHECK_THAT(std::isnan(value), "NaN becomes %g", value);
    return;
  }
  if (!std::isnormal(x)) {
    const float wanted = std::isinf(x) ? x : std::copysign(0.0f, x);
    CHECK_THAT(std::memcmp(&value, &wanted, sizeof(value)) == 0, "%g becomes %g", x, value);
    return;
  }
  if (std::isinf(value)) {  // from half a step beyond the largest on
    CHECK_THAT(std::fabs(x) >= 3.3961775e38f, "%g overflows", x);
    return;
  }
  const double error = std::fabs(static_cast<double>(value) - x);
  for (int step : {-1, 1}) {
    const float other = ScalarFromBf16(static_cast<uint16_t>(found + step));
    const double distance = std::fabs(static_cast<double>(other) - x);
    if (std::isnan(other) || std::isinf(other)) continue;
    CHECK_THAT(error < distance || (error == distance && found % 2 == 0), "%g becomes %g, not %g", x, value, other);
  }
}

}  // namespace

int main() {
  test::Random random(5);
  const auto kernels = test::RunnableBf16(KernelTable::round_bf16);
  const RoundBf16Fn reference = test::Reference(KernelTable::round_bf16);
  const float inf = std::numeric_limits<float>::infinity();
  const float odd[] = {0.0f, -0.0f, inf, -inf, std::nanf(""), 1e-40f, -1e-45f, 3.4028235e38f, 1.00390625f, 1.01171875f};
  int64_t cases = 0;
  for (int64_t rows = 0; rows <= 9; ++rows) {
    for (int turn = 0; turn < 50; ++turn, ++cases) {
      Buffer<float> x(rows * kLanes, 1);
      for (int64_t i = 0; i < x.size(); ++i) {
        const auto bits = static_cast<uint32_t>(random());
        std::memcpy(&x[i], &bits, sizeof(bits));
        if (turn % 2 == 0) x[i] = odd[static_cast<size_t>(bits % std::size(odd))];
        CheckScalar(x[i]);
      }
      Buffer<uint16_t> expected((rows + rows % kPair) * kLanes, 1);
      reference(x.data(), rows, expected.data());
      for (int64_t row = 0; row < rows + rows % kPair; ++row) {
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const uint16_t wanted = row < rows ? ScalarToBf16(x[row * kLanes + lane]) : uint16_t{0};
          CHECK_THAT(expected[(row / kPair * kLanes + lane) * kPair + row % kPair] == wanted, "row %lld lane %lld",
                     static_cast<long long>(row), static_cast<long long>(lane));
        }
      }
      for (const auto& kernel : kernels) {
        Buffer<uint16_t> found(expected.size(), 1);
        kernel.run(x.data(), rows, found.data());
        CHECK_THAT(SameBits(found, expected), "%s differs on %lld rows", kernel.name, static_cast<long long>(rows));
      }
    }
  }
  test::Report(kernels, cases);
  return 0;
}
