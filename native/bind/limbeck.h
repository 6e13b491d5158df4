// The door between Python and the engine: a plain C interface, called through ctypes, which releases the GIL.
//
// In: the model's shape, named tensors, packed batches. Out: float32 arrays or a message saying what is wrong.
// Neighbours: src/limbeck/engine/library.py declares the same functions; native/model does the work.
//
// No function throws, and none keeps a pointer that it was given, `LimbeckTensor::data` of an embedding table excepted
// (see there). Functions that can fail return 0 on success and otherwise write a message to `error`.
#ifndef LIMBECK_BIND_LIMBECK_H_
#define LIMBECK_BIND_LIMBECK_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIMBECK_ABI_VERSION 4
#define LIMBECK_API __attribute__((visibility("default")))

enum LimbeckActivation {
  LIMBECK_GELU = 0,
  LIMBECK_GELU_TANH = 1,
  LIMBECK_RELU = 2,
  LIMBECK_TANH = 3,
  LIMBECK_IDENTITY = 4
};
enum LimbeckPositionMode { LIMBECK_ABSOLUTE = 0, LIMBECK_AFTER_PADDING = 1 };
enum LimbeckHeadKind { LIMBECK_HEAD_NONE = 0, LIMBECK_HEAD_SEQUENCE = 1, LIMBECK_HEAD_TOKEN = 2 };
enum LimbeckPrecision { LIMBECK_FP32 = 0, LIMBECK_INT8 = 1, LIMBECK_BF16 = 2 };
enum LimbeckActivations { LIMBECK_DYNAMIC = 0, LIMBECK_STATIC = 1 };
enum LimbeckDtype { LIMBECK_F32 = 0, LIMBECK_S8 = 1 };
enum LimbeckOutput {
  LIMBECK_LOGITS = 0,       // [B, L] for a sequence head, [T, L] for a token head
  LIMBECK_HIDDEN = 1,       // [T, C], the last layer
  LIMBECK_POOLED_MEAN = 2,  // [B, C], over the tokens of each sequence
  LIMBECK_POOLED_CLS = 3,   // [B, C], the first token of each sequence
  LIMBECK_POOLED_MAX = 4    // [B, C]
};

typedef struct LimbeckModelSpec {
  int32_t abi_version;  // LIMBECK_ABI_VERSION
  int32_t precision;    // LimbeckPrecision: how the encoder's linear layers compute
  int32_t layers;
  int32_t hidden;
  int32_t heads;
  int32_t ffn;
  int32_t vocab;
  int32_t positions;
  int32_t types;          // 0: no token-type table
  int32_t activation;     // LimbeckActivation of the feed-forward block
  int32_t position_mode;  // LimbeckPositionMode
  int32_t pad_id;
  int32_t head_kind;   // LimbeckHeadKind
  int32_t head_dense;  // LimbeckActivation behind the head's dense layer; -1: no dense layer
  int32_t labels;
  float norm_eps;
  // Time of four inputs of one row, for a panel of tokens: dense, in blocks of 1, 2, 4 and 8 rows, and what a row of
  // blocks costs beside them; in any unit. It decides which int8 layers run by blocks. All zero: the library's table.
  float sparse_costs[6];
  int32_t activations;  // LimbeckActivations: where the ranges of an int8 model's activations come from
} LimbeckModelSpec;

// A named tensor, row-major and dense. Names, shapes and which are required: limbeck/tensors.py.
// Linear weights of an int8 model must be LIMBECK_S8 with one scale a row, of an fp32 or bf16 model LIMBECK_F32.
// embeddings.word may be either in both. Everything is copied, except the data (not the scale) of embeddings.word:
// it is read in place and must outlive the model.
typedef struct LimbeckTensor {
  const char* name;
  int32_t dtype;  // LimbeckDtype
  int32_t rank;   // 1 or 2
  int64_t shape[2];
  const void* data;
  const float* scale;  // [shape[0]] for LIMBECK_S8, else NULL
} LimbeckTensor;

enum LimbeckOp {
  LIMBECK_OP_EMBED = 0,
  LIMBECK_OP_QKV = 1,
  LIMBECK_OP_ATTENTION = 2,
  LIMBECK_OP_QUANTIZE = 3,
  LIMBECK_OP_PROJECT = 4,
  LIMBECK_OP_NORM = 5,
  LIMBECK_OP_FFN_IN = 6,
  LIMBECK_OP_FFN_OUT = 7,
  LIMBECK_OP_WAIT = 8
};

// What one thread did from begin_ns to end_ns of a steady clock.
typedef struct LimbeckSpan {
  int32_t op;     // LimbeckOp
  int32_t layer;  // -1: before the first
  int32_t thread;
  int32_t reserved;
  int64_t begin_ns;
  int64_t end_ns;
  int64_t operations;  // multiplications and additions, where there are any to speak of
} LimbeckSpan;

typedef struct LimbeckModel LimbeckModel;

LIMBECK_API int32_t limbeck_abi_version(void);

// Comma-separated names of the instruction sets that this library holds and this CPU has, best first.
LIMBECK_API void limbeck_isas(char* names, int32_t names_size);

// 1 where `isa` (as in limbeck_model_create) computes LIMBECK_BF16 models on this CPU, else 0.
LIMBECK_API int32_t limbeck_has_bf16(const char* isa);

// CPUs that this process may use: affinity mask and cgroup quota, at least 1.
LIMBECK_API int32_t limbeck_available_cpus(void);

// `isa`: a name from limbeck_isas, or NULL for the best. `instances` of `threads` threads each, at least 1, share the
// weights: so many calls of limbeck_model_forward run side by side.
LIMBECK_API int32_t limbeck_model_create(const LimbeckModelSpec* spec, const LimbeckTensor* tensors,
                                         int32_t tensor_count, const char* isa, int32_t threads, int32_t instances,
                                         LimbeckModel** model, char* error, int32_t error_size);
LIMBECK_API void limbeck_model_destroy(LimbeckModel* model);

// ids [T]; type_ids [T] or NULL; cu_seqlens [B + 1]; out as LimbeckOutput says. Safe to call from many threads at once.
// `alone`: not 0 where no other pass runs meanwhile; this one then gets the threads of all instances.
LIMBECK_API int32_t limbeck_model_forward(LimbeckModel* model, const int32_t* ids, const int32_t* type_ids,
                                          const int32_t* cu_seqlens, int32_t sequences, int32_t output, float* out,
                                          int64_t out_size, int32_t alone, char* error, int32_t error_size);

// As limbeck_model_forward in one instance, and what each thread did meanwhile: up to `spans_size` spans, thread by
// thread, and how many there were in all.
LIMBECK_API int32_t limbeck_model_profile(LimbeckModel* model, const int32_t* ids, const int32_t* type_ids,
                                          const int32_t* cu_seqlens, int32_t sequences, int32_t output, float* out,
                                          int64_t out_size, LimbeckSpan* spans, int64_t spans_size,
                                          int64_t* spans_count, char* error, int32_t error_size);

// The seconds of passes of one kernel over a layer of rows x cols on one thread, for at least `seconds`: precision a
// LimbeckPrecision; block_rows 0 for dense weights, or blocks of block_rows x 4 of which `density` are kept. Writes up
// to `passes_size` of them and how many it wrote, and the multiplications and additions of one pass.
LIMBECK_API int32_t limbeck_bench_linear(const char* isa, int32_t precision, int64_t rows, int64_t cols, int64_t tokens,
                                         int32_t block_rows, double density, double seconds, double* passes,
                                         int32_t passes_size, int32_t* passes_count, double* operations, char* error,
                                         int32_t error_size);

// Multiplications and additions a second that one thread reaches with registers alone.
LIMBECK_API int32_t limbeck_bench_peak(const char* isa, int32_t precision, double seconds, double* operations,
                                       char* error, int32_t error_size);

// JSON: {"isa", "threads", "instances", "precision", "layers": [{"name", "kernel", "shape", "pattern", "blocks",
// "packed_bytes"}], "attention", "layer_norm", "quantize", "weights_bytes", "arena_bytes"}.
// Returns the length that the whole text needs, without the terminating zero.
LIMBECK_API int64_t limbeck_model_describe(LimbeckModel* model, char* json, int64_t json_size);

#ifdef __cplusplus
}
#endif

#endif  // LIMBECK_BIND_LIMBECK_H_
