// Our exp, erf and tanh against the C library's, over their whole range.
#include <cmath>

#include "base/math_scalar.h"
#include "tests/check.h"

namespace {

// Largest error of `ours` against `truth`, relative to max(|truth|, floor).
template <typename Ours, typename Truth>
double LargestError(double low, double high, double floor, Ours ours, Truth truth) {
  double largest = 0;
  constexpr int kSteps = 400000;
  for (int i = 0; i <= kSteps; ++i) {
    const float x = static_cast<float>(low + (high - low) * i / kSteps);
    const double expected = truth(static_cast<double>(x));
    const double error = std::fabs(ours(x) - expected) / std::fmax(std::fabs(expected), floor);
    largest = std::fmax(largest, error);
  }
  return largest;
}

double Gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }
double GeluTanh(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

}  // namespace

int main() {
  using limbeck::Activation;
  using limbeck::ScalarActivate;
  // 4e-7 is about seven units in the last place: 2e-8 of fit and a dozen roundings.
  const double exp_error =
      LargestError(-86.9, 0, 0, [](float x) { return limbeck::ScalarExp(x); }, [](double x) { return std::exp(x); });
  CHECK_THAT(exp_error < 4e-7, "exp is off by %g", exp_error);
  CHECK_THAT(limbeck::ScalarExp(0.0f) == 1.0f, "exp(0) is not 1");
  CHECK_THAT(limbeck::ScalarExp(-1e30f) < 2e-38f, "exp far below its range is not tiny");

  const double erf_error =
      LargestError(-6, 6, 1e-30, [](float x) { return limbeck::ScalarErf(x); }, [](double x) { return std::erf(x); });
  CHECK_THAT(erf_error < 4e-7, "erf is off by %g", erf_error);
  const double tanh_error = LargestError(
      -12, 12, 1e-30, [](float x) { return limbeck::ScalarTanh(x); }, [](double x) { return std::tanh(x); });
  CHECK_THAT(tanh_error < 4e-7, "tanh is off by %g", tanh_error);

  const double gelu_error = LargestError(-8, 8, 1, [](float x) { return ScalarActivate(Activation::kGelu, x); }, Gelu);
  CHECK_THAT(gelu_error < 1e-6, "gelu is off by %g", gelu_error);
  const double tanh_form_error =
      LargestError(-8, 8, 1, [](float x) { return ScalarActivate(Activation::kGeluTanh, x); }, GeluTanh);
  CHECK_THAT(tanh_form_error < 1e-6, "gelu, tanh form, is off by %g", tanh_form_error);
  CHECK_THAT(ScalarActivate(Activation::kRelu, -1.0f) == 0.0f && ScalarActivate(Activation::kRelu, 2.0f) == 2.0f,
             "relu");
  CHECK_THAT(ScalarActivate(Activation::kIdentity, -3.5f) == -3.5f, "identity");

  const auto coarse = [](Activation activation) {
    return [activation](float x) { return limbeck::ScalarActivateCoarse(activation, x); };
  };
  const double coarse_error = LargestError(-8, 8, 1, coarse(Activation::kGelu), Gelu);
  CHECK_THAT(coarse_error < 6e-6, "coarse gelu is off by %g", coarse_error);
  const double coarse_tanh_error = LargestError(-8, 8, 1, coarse(Activation::kGeluTanh), GeluTanh);
  CHECK_THAT(coarse_tanh_error < 6e-6, "coarse gelu, tanh form, is off by %g", coarse_tanh_error);
  CHECK_THAT(limbeck::ScalarActivateCoarse(Activation::kGelu, 0.0f) == 0.0f, "coarse gelu of 0 is not 0");
  CHECK_THAT(std::fabs(limbeck::ScalarActivateCoarse(Activation::kGelu, 1e30f) - 1e30f) < 1e24f, "far above");
  CHECK_THAT(std::fabs(limbeck::ScalarActivateCoarse(Activation::kGelu, -1e30f)) < 2e-6f, "far below");

  for (uint32_t half = 0; half < 0x7c00; ++half) {
    const float value = limbeck::ScalarFromHalf(static_cast<uint16_t>(half));
    CHECK_THAT(limbeck::ScalarToHalf(value) == half && limbeck::ScalarToHalf(-value) == (half | 0x8000u),
               "half precision %x does not come back", half);
  }
  CHECK_THAT(limbeck::ScalarToHalf(1.0f + 1.0f / 2048) == 0x3c00 && limbeck::ScalarToHalf(1.0f + 3.0f / 2048) == 0x3c02,
             "ties do not go to even");
  std::puts("math: ok");
  return 0;
}
