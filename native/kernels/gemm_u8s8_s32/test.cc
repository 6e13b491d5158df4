// The reference against 64-bit integer arithmetic, every kernel against the reference, bit for bit.
#include <cmath>

#include "base/math_scalar.h"
#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;

struct Case {
  int64_t panels;
  int64_t groups;
  int64_t quads;
  Activation activation;
  bool residual;
  bool extreme;
};

struct Operands {
  Operands(const Case& c, test::Random& random)
      : a(c.panels * c.quads * kLanes * kQuad, 1),
        scale(c.panels * kLanes, 1),
        zero(c.panels * kLanes, 1),
        w(c.groups * c.quads * kRowGroup * kQuad, 3),
        row_sum(c.groups * kRowGroup, 1),
        row_scale(c.groups * kRowGroup, 1),
        bias(c.groups * kRowGroup, 1),
        residual(c.panels * (c.groups * kRowGroup + 1) * kLanes, 1) {
    if (c.extreme) {
      a.Fill(255);
      w.Fill(-127);
      zero.Fill(255);
    } else {
      a.FillIntegers(random, 0, 255);
      w.FillIntegers(random, -127, 127);
      zero.FillIntegers(random, 0, 255);
    }
    scale.FillUniform(random, 1e-4, 0.1);
    row_scale.FillUniform(random, 1e-4, 0.1);
    bias.FillUniform(random, -2, 2);
    residual.FillUniform(random, -2, 2);
    for (int64_t row = 0; row < row_sum.size(); ++row) {
      for (int64_t k = 0; k < c.quads * kQuad; ++k) row_sum[row] += Weight(c, row, k);
    }
  }

  int Weight(const Case& c, int64_t row, int64_t k) const {
    return w[(((row / kRowGroup) * c.quads + k / kQuad) * kRowGroup + row % kRowGroup) * kQuad + k % kQuad];
  }
  int Input(const Case& c, int64_t token, int64_t k) const {
    return a[(((token / kLanes) * c.quads + k / kQuad) * kLanes + token % kLanes) * kQuad + k % kQuad];
  }

  Buffer<uint8_t> a;
  Buffer<float> scale;
  Buffer<int32_t> zero;
  Buffer<int8_t> w;
  Buffer<int32_t> row_sum;
  Buffer<float> row_scale;
  Buffer<float> bias;
  Buffer<float> residual;
};

void Run(GemmU8S8Fn kernel, const Case& c, const Operands& operands, Buffer<float>& out) {
  const GemmU8S8Args args = {operands.a.data(),
                             operands.scale.data(),
                             operands.zero.data(),
                             operands.w.data(),
                             operands.row_sum.data(),
                             operands.row_scale.data(),
                             operands.bias.data(),
                             c.residual ? operands.residual.data() : nullptr,
                             out.data(),
                             c.quads,
                             c.groups * kRowGroup + 1,
                             c.groups * kRowGroup,
                             c.activation};
  kernel(args, 0, c.groups, 0, c.panels);
}

// The definition in the header, with sums in 64 bits and nothing packed.
void CheckReference(const Case& c, const Operands& operands, const Buffer<float>& out) {
  for (int64_t row = 0; row < c.groups * kRowGroup; ++row) {
    for (int64_t token = 0; token < c.panels * kLanes; ++token) {
      int64_t sum = 0;
      for (int64_t k = 0; k < c.quads * kQuad; ++k) {
        sum += int64_t{operands.Weight(c, row, k)} * (operands.Input(c, token, k) - operands.zero[token]);
      }
      CHECK_THAT(std::llabs(sum) < (int64_t{1} << 31), "the case itself overflows");
      const float scale = operands.scale[token] * operands.row_scale[row];
      float y = ScalarActivate(c.activation, std::fma(static_cast<float>(sum), scale, operands.bias[row]));
      const int64_t panel = token / kLanes;
      const int64_t lane = token % kLanes;
      if (c.residual) y += operands.residual[(panel * (c.groups * kRowGroup + 1) + row) * kLanes + lane];
      const float got = out[(panel * c.groups * kRowGroup + row) * kLanes + lane];
      CHECK_THAT(got == y, "row %lld token %lld: %g, expected %g", static_cast<long long>(row),
                 static_cast<long long>(token), got, y);
    }
  }
}

}  // namespace

int main() {
  test::Random random(1);
  const auto kernels = test::Runnable(KernelTable::gemm_u8s8);
  const GemmU8S8Fn reference = test::Reference(KernelTable::gemm_u8s8);
  constexpr Activation kActivations[] = {Activation::kIdentity, Activation::kGelu, Activation::kGeluTanh,
                                         Activation::kRelu, Activation::kTanh};
  int64_t cases = 0;
  for (int64_t panels = 0; panels <= 5; ++panels) {
    for (int64_t groups = 0; groups <= 3; ++groups) {
      for (int64_t quads : {0, 1, 2, 3, 7, 16, 33, 192}) {
        const Activation activation = kActivations[cases % 5];
        const Case c = {panels, groups, quads, activation, cases % 2 == 0, cases % 7 == 0};
        const Operands operands(c, random);
        Buffer<float> expected(panels * groups * kRowGroup * kLanes, 1);
        Run(reference, c, operands, expected);
        CheckReference(c, operands, expected);
        for (const auto& kernel : kernels) {
          Buffer<float> out(expected.size(), 1);
          Run(kernel.run, c, operands, out);
          CHECK_THAT(SameBits(out, expected), "%s differs: %lld panels, %lld groups, %lld quads", kernel.name,
                     static_cast<long long>(panels), static_cast<long long>(groups), static_cast<long long>(quads));
        }
        ++cases;
      }
    }
  }
  // The largest sums that the width check of ops/linear.cc lets through: they must not wrap.
  const Case widest = {1, 1, 66308 / kQuad, Activation::kIdentity, false, true};
  Operands operands(widest, random);
  operands.zero.Fill(0);
  Buffer<float> expected(kRowGroup * kLanes);
  Run(reference, widest, operands, expected);
  CheckReference(widest, operands, expected);
  for (const auto& kernel : kernels) {
    Buffer<float> out(expected.size());
    Run(kernel.run, widest, operands, out);
    CHECK_THAT(SameBits(out, expected), "%s differs on the widest layer", kernel.name);
  }
  test::Report(kernels, cases + 1);
  return 0;
}
