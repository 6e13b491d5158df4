#include "base/math_scalar.h"
#include "kernels/attention_f32/attention_f32.h"

namespace limbeck {
namespace {

int64_t Offset(int64_t rows, int64_t token, int64_t row) {
  return ((token / kLanes) * rows + row) * kLanes + token % kLanes;
}

}  // namespace

void attention_f32_reference(const AttentionArgs& args) {
  float* p = args.scratch;
  for (int64_t query = 0; query < args.queries; ++query) {
    float highest = -3.0e38f;
    for (int64_t key = 0; key < args.length; ++key) {
      float s = 0.0f;
      for (int64_t d = 0; d < args.head_width; ++d) {
        const float q = args.in[Offset(args.in_rows, args.first_token + query, args.query_row + d)] * args.scale;
        s = std::fma(q, args.in[Offset(args.in_rows, args.first_token + key, args.key_row + d)], s);
      }
      p[key] = s;
      highest = ScalarMax(highest, s);
    }
    float total = 0.0f;
    for (int64_t key = 0; key < args.length; ++key) {
      p[key] = ScalarExp(p[key] - highest);
      total = total + p[key];
    }
    for (int64_t d = 0; d < args.head_width; ++d) {
      float sum = 0.0f;
      for (int64_t key = 0; key < args.length; ++key) {
        sum = std::fma(args.in[Offset(args.in_rows, args.first_token + key, args.value_row + d)], p[key], sum);
      }
      args.out[Offset(args.out_rows, args.out_token + query, args.out_row + d)] = sum / total;
    }
  }
}

}  // namespace limbeck
