// Every kernel, the reference too, against double precision within a derived bound.
#include <cmath>
#include <limits>

#include "base/math_scalar.h"
#include "tests/bf16_kernels.h"
#include "tests/check.h"

namespace {

using namespace limbeck;
using test::Buffer;

struct Case {
  int64_t panels;
  int64_t groups;
  int64_t pairs;
  Activation activation;
  bool residual;
  bool out_pairs;
  int64_t a_rows() const { return pairs * kPair + 4; }
  int64_t out_rows() const { return groups * kRowGroup + 2; }
};

struct Operands {
  Operands(const Case& c, test::Random& random)
      : a(c.panels * c.a_rows() * kLanes, 1),
        w(c.groups * c.pairs * kRowGroup * kPair, 3),
        bias(c.groups * kRowGroup, 1),
        residual(c.panels * c.out_rows() * kLanes, 1) {
    Fill(a, random, 3);
    Fill(w, random, 1);
    bias.FillUniform(random, -2, 2);
    residual.FillUniform(random, -2, 2);
  }
  static void Fill(Buffer<uint16_t>& numbers, test::Random& random, float most) {
    Buffer<float> drawn(numbers.size(), 0);
    drawn.FillUniform(random, -most, most);
    for (int64_t i = 0; i < numbers.size(); ++i) numbers[i] = ScalarToBf16(drawn[i]);
  }
  Buffer<uint16_t> a;
  Buffer<uint16_t> w;
  Buffer<float> bias;
  Buffer<float> residual;
};

double ActivateExactly(Activation activation, double x) {
  switch (activation) {
    case Activation::kGelu:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::fmax(x, 0.0);
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kIdentity:
      break;
  }
  return x;
}

// |error| of a sum <= (inputs + 2) * eps * (|bias| + sum |w * a|), one rounding a step in whatever order; no activation
// is steeper than 1.13, the table's is 6e-6 off, and a bfloat16 half a step of 2^-8.
void Check(const Case& c, const Operands& operands, const Kernel<GemmBf16Fn>& kernel, const Buffer<float>& out,
           const Buffer<uint16_t>& pairs) {
  for (int64_t row = 0; row < c.groups * kRowGroup; ++row) {
    for (int64_t token = 0; token < c.panels * kLanes; ++token) {
      const int64_t panel = token / kLanes;
      const int64_t lane = token % kLanes;
      double sum = operands.bias[row];
      double magnitude = std::fabs(sum);
      for (int64_t k = 0; k < c.pairs * kPair; ++k) {
        const int64_t pair = k / kPair;
        const double product =
            static_cast<double>(
                ScalarFromBf16(operands.a[panel * c.a_rows() * kLanes + (pair * kLanes + lane) * kPair + k % kPair])) *
            ScalarFromBf16(
                operands.w[(((row / kRowGroup) * c.pairs + pair) * kRowGroup + row % kRowGroup) * kPair + k % kPair]);
        sum += product;
        magnitude += std::fabs(product);
      }
      double bound = static_cast<double>(2 * c.pairs + 4) * std::numeric_limits<float>::epsilon() * magnitude * 1.13;
      if (c.activation != Activation::kIdentity && c.activation != Activation::kRelu) bound += 6e-6;
      double wanted = ActivateExactly(c.activation, sum);
      double found;
      if (c.out_pairs) {
        found =
            ScalarFromBf16(pairs[panel * c.out_rows() * kLanes + (row / kPair * kLanes + lane) * kPair + row % kPair]);
        bound += std::ldexp(std::fabs(wanted) + bound, -8);
      } else {
        const int64_t at = (panel * c.out_rows() + row) * kLanes + lane;
        if (c.residual) wanted += operands.residual[at];
        bound += std::fabs(wanted) * std::numeric_limits<float>::epsilon();
        found = out[at];
      }
      const double error = std::fabs(found - wanted);
      CHECK_THAT(error <= bound, "%s: row %lld token %lld is off by %g, more than %g", kernel.name,
                 static_cast<long long>(row), static_cast<long long>(token), error, bound);
    }
  }
}

// Panels computed together and one by one, and all row groups or each by itself: the same bits.
void CheckSplit(const Case& c, GemmBf16Args args, const Kernel<GemmBf16Fn>& kernel, const Buffer<float>& out,
                const Buffer<uint16_t>& pairs) {
  Buffer<float> alone(out.size(), 1);
  Buffer<uint16_t> pairs_alone(pairs.size(), 1);
  args.out = c.out_pairs ? nullptr : alone.data();
  args.out_pairs = c.out_pairs ? pairs_alone.data() : nullptr;
  for (int64_t group = 0; group < c.groups; ++group) {
    for (int64_t panel = 0; panel < c.panels; ++panel) kernel.run(args, group, group + 1, panel, panel + 1);
  }
  CHECK_THAT(SameBits(alone, out) && SameBits(pairs_alone, pairs), "%s depends on what it computes together",
             kernel.name);
}

}  // namespace

int main() {
  test::Random random(6);
  const auto kernels = test::RunnableBf16(KernelTable::gemm_bf16);
  test::Reference(KernelTable::gemm_bf16);
  constexpr Activation kActivations[] = {Activation::kIdentity, Activation::kGelu, Activation::kGeluTanh,
                                         Activation::kRelu, Activation::kTanh};
  int64_t cases = 0;
  for (int64_t panels = 0; panels <= 5; ++panels) {
    for (int64_t groups = 0; groups <= 3; ++groups) {
      for (int64_t pairs : {1, 2, 3, 17, 128, 1537}) {
        if (pairs > 1000 && (panels > 3 || groups > 1)) continue;
        const Case c = {panels, groups, pairs, kActivations[cases % 5], cases % 2 == 0, cases % 3 == 0};
        const Operands operands(c, random);
        for (const auto& kernel : kernels) {
          Buffer<float> out(panels * c.out_rows() * kLanes, 1);
          Buffer<uint16_t> paired(out.size(), 1);
          const GemmBf16Args args = {operands.a.data(),
                                     operands.w.data(),
                                     operands.bias.data(),
                                     c.residual && !c.out_pairs ? operands.residual.data() : nullptr,
                                     c.out_pairs ? nullptr : out.data(),
                                     c.out_pairs ? paired.data() : nullptr,
                                     pairs,
                                     c.a_rows(),
                                     c.out_rows(),
                                     c.activation};
          kernel.run(args, 0, groups, 0, panels);
          Check(c, operands, kernel, out, paired);
          CheckSplit(c, args, kernel, out, paired);
        }
        ++cases;
      }
    }
  }
  test::Report(kernels, cases);
  return 0;
}
