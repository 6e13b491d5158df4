// The reference against double precision within a derived bound, every kernel against the reference, bit for bit.
#include <cmath>
#include <limits>

#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;

struct Case {
  int64_t panels;
  int64_t groups;
  int64_t inputs;
  Activation activation;
  bool residual;
};

struct Operands {
  Operands(const Case& c, test::Random& random)
      : a(c.panels * (c.inputs + 2) * kLanes, 1),
        w(c.groups * c.inputs * kRowGroup, 3),
        bias(c.groups * kRowGroup, 1),
        residual(c.panels * (c.groups * kRowGroup + 1) * kLanes, 1) {
    a.FillUniform(random, -3, 3);
    w.FillUniform(random, -1, 1);
    bias.FillUniform(random, -2, 2);
    residual.FillUniform(random, -2, 2);
  }
  Buffer<float> a;
  Buffer<float> w;
  Buffer<float> bias;
  Buffer<float> residual;
};

void Run(GemmF32Fn kernel, const Case& c, const Operands& operands, Buffer<float>& out) {
  const GemmF32Args args = {
      operands.a.data(),    operands.w.data(), operands.bias.data(), c.residual ? operands.residual.data() : nullptr,
      out.data(),           c.inputs,          c.inputs + 2,         c.groups * kRowGroup + 1,
      c.groups * kRowGroup, c.activation};
  kernel(args, 0, c.groups, 0, c.panels);
}

// Without activation: |error| <= (inputs + 2) * eps * (|bias| + sum |w * a| + |residual|), one rounding a step.
void CheckReference(const Case& c, const Operands& operands, const Buffer<float>& out) {
  for (int64_t row = 0; row < c.groups * kRowGroup; ++row) {
    for (int64_t token = 0; token < c.panels * kLanes; ++token) {
      const int64_t panel = token / kLanes;
      const int64_t lane = token % kLanes;
      double sum = operands.bias[row];
      double magnitude = std::fabs(sum);
      for (int64_t k = 0; k < c.inputs; ++k) {
        const double product = static_cast<double>(operands.a[(panel * (c.inputs + 2) + k) * kLanes + lane]) *
                               operands.w[((row / kRowGroup) * c.inputs + k) * kRowGroup + row % kRowGroup];
        sum += product;
        magnitude += std::fabs(product);
      }
      if (c.residual) {
        const double residual = operands.residual[(panel * (c.groups * kRowGroup + 1) + row) * kLanes + lane];
        sum += residual;
        magnitude += std::fabs(residual);
      }
      const double error = std::fabs(out[(panel * c.groups * kRowGroup + row) * kLanes + lane] - sum);
      const double bound = static_cast<double>(c.inputs + 2) * std::numeric_limits<float>::epsilon() * magnitude;
      CHECK_THAT(error <= bound, "row %lld token %lld is off by %g, more than %g", static_cast<long long>(row),
                 static_cast<long long>(token), error, bound);
    }
  }
}

}  // namespace

int main() {
  test::Random random(2);
  const auto kernels = test::Runnable(KernelTable::gemm_f32);
  const GemmF32Fn reference = test::Reference(KernelTable::gemm_f32);
  constexpr Activation kActivations[] = {Activation::kIdentity, Activation::kGelu, Activation::kGeluTanh,
                                         Activation::kRelu, Activation::kTanh};
  int64_t cases = 0;
  for (int64_t panels = 0; panels <= 5; ++panels) {
    for (int64_t groups = 0; groups <= 3; ++groups) {
      // Around the width of the input slices, too. An empty layer (0 inputs) is no layer and is not asked for.
      for (int64_t inputs : {1, 2, 3, 17, 33, 256, 3071, 3072, 3073}) {
        if (inputs > 1000 && (panels > 3 || groups > 1)) continue;
        const Activation activation = kActivations[cases % 5];
        const Case c = {panels, groups, inputs, activation, cases % 2 == 0};
        const Operands operands(c, random);
        Buffer<float> expected(panels * groups * kRowGroup * kLanes, 1);
        Run(reference, c, operands, expected);
        if (activation == Activation::kIdentity) CheckReference(c, operands, expected);
        for (const auto& kernel : kernels) {
          Buffer<float> out(expected.size(), 1);
          out.Fill(std::numeric_limits<float>::quiet_NaN());
          Run(kernel.run, c, operands, out);
          CHECK_THAT(SameBits(out, expected), "%s differs: %lld panels, %lld groups, %lld inputs", kernel.name,
                     static_cast<long long>(panels), static_cast<long long>(groups), static_cast<long long>(inputs));
        }
        ++cases;
      }
    }
  }
  test::Report(kernels, cases);
  return 0;
}
