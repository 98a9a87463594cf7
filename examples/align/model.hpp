// SPDX-License-Identifier: MIT
// A byte-level decoder-only transformer with a manual backward pass, one sequence at a time. Templated on the scalar so that its gradient
// can be checked against finite differences in double; it trains in float.
//
//   x = token[y] + position
//   repeat `layers` times:   x += out attention(qkv norm(x));   x += down relu2(up norm(x))
//   logits = head norm(x)
#pragma once

#include "attention.hpp"
#include "layers.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace align {

inline constexpr std::int32_t begin_token = 256, end_token = 257;  ///< after the 256 bytes

struct shape {
  std::size_t vocabulary = 258;  ///< V
  std::size_t padded = 288;      ///< Vp >= V, whole pairs of registers; columns V..Vp-1 of the logits exist, and mean nothing
  std::size_t context = 64;      ///< T, the longest sequence
  std::size_t width = 64;        ///< C
  std::size_t layers = 2;        ///< L
  std::size_t heads = 2;         ///< H, a divisor of C
  bool operator==(const shape&) const = default;
};

/// A named tensor inside the one array that holds all parameters; gradients and Adam's moments have the same layout.
struct tensor {
  std::string name;
  std::size_t offset, size;
  float scale;  ///< standard deviation at initialisation; a negative one means all ones
};

/// The tensors of the model, in order. Matrices are [inputs, outputs].
inline std::vector<tensor> tensors(const shape& s) {
  const std::size_t C = s.width;
  const float input = 1 / std::sqrt(float(C)), residual = input / std::sqrt(2 * float(s.layers)), ones = -1;
  std::vector<tensor> list;
  std::size_t offset = 0;
  const auto append = [&](const std::string& name, std::size_t size, float scale) {
    list.push_back({name, offset, size, scale});
    offset += size;
  };
  append("token", s.vocabulary * C, 0.1f);
  append("position", s.context * C, 0.1f);
  for (std::size_t l = 0; l < s.layers; ++l) {
    const std::string layer = "layer" + std::to_string(l) + ".";
    append(layer + "norm1", C, ones);
    append(layer + "qkv", C * 3 * C, input);
    append(layer + "out", C * C, residual);
    append(layer + "norm2", C, ones);
    append(layer + "up", C * 4 * C, input);
    append(layer + "down", 4 * C * C, residual / 2);
  }
  append("norm", C, ones);
  append("head", C * s.padded, input / 4);
  return list;
}

inline std::size_t parameter_count(const shape& s) { return tensors(s).back().offset + tensors(s).back().size; }

/// The tensors as pointers: into parameters (Real const) or gradients (Real).
template <class Real> struct weights {
  struct layer {
    Real *norm1, *qkv, *out, *norm2, *up, *down;
  };
  Real *token, *position, *norm, *head;
  std::vector<layer> layers;

  weights(const std::vector<tensor>& list, Real* base) : token(base), position(base + list[1].offset) {
    std::size_t i = 2;
    const auto next = [&] { return base + list[i++].offset; };
    while (i + 2 < list.size()) layers.push_back({next(), next(), next(), next(), next(), next()});
    norm = next();
    head = next();
  }
};

/// What the forward pass of one sequence leaves for the backward pass, and the latter's scratch memory.
template <class Real> struct activations {
  struct layer {
    std::vector<Real> x, norm1, qkv, p, mixed, middle, norm2, up, act, r1, r2;
  };
  std::vector<layer> layers;
  std::vector<Real> x, norm, r, y, scratch;           // forward
  std::vector<Real> dx, dy, dmixed, dqkv, dup, dact;  // backward

  explicit activations(const shape& s) {
    const std::size_t T = s.context, C = s.width, S = padded_row(T);
    const auto buffer = [](std::size_t n) { return std::vector<Real>(n); };
    for (std::size_t l = 0; l < s.layers; ++l) {
      layers.push_back({buffer(T * C), buffer(T * C), buffer(T * 3 * C), buffer(s.heads * T * S), buffer(T * C), buffer(T * C),
                        buffer(T * C), buffer(T * 4 * C), buffer(T * 4 * C), buffer(T), buffer(T)});
    }
    for (auto* v : {&x, &norm, &y, &dx, &dy, &dmixed}) v->resize(T * C);
    for (auto* v : {&dup, &dact}) v->resize(T * 4 * C);
    r.resize(T);
    dqkv.resize(T * 3 * C);
    scratch.resize(std::max({(C / s.heads + T) * S, 4 * C * C, C * s.padded}));
  }
};

/// tokens [T] -> logits [T, Vp]
template <class Real>
void model_forward(const shape& s, const weights<const Real>& w, activations<Real>& a, const std::int32_t* tokens, std::size_t T,
                   Real* logits) {
  const std::size_t C = s.width;
  embed_forward(a.x.data(), tokens, w.token, w.position, T, C);
  for (std::size_t l = 0; l < s.layers; ++l) {
    auto& k = a.layers[l];
    std::copy_n(a.x.data(), T * C, k.x.data());
    rmsnorm_forward(k.norm1.data(), k.r1.data(), a.x.data(), w.layers[l].norm1, T, C);
    matmul_forward(k.qkv.data(), k.norm1.data(), w.layers[l].qkv, T, C, 3 * C);
    attention_forward(k.mixed.data(), k.p.data(), a.scratch.data(), k.qkv.data(), T, C, s.heads);
    matmul_forward(a.y.data(), k.mixed.data(), w.layers[l].out, T, C, C);
    add(a.x.data(), a.y.data(), T * C);
    std::copy_n(a.x.data(), T * C, k.middle.data());
    rmsnorm_forward(k.norm2.data(), k.r2.data(), a.x.data(), w.layers[l].norm2, T, C);
    matmul_forward(k.up.data(), k.norm2.data(), w.layers[l].up, T, C, 4 * C);
    relu2_forward(k.act.data(), k.up.data(), T * 4 * C);
    matmul_forward(a.y.data(), k.act.data(), w.layers[l].down, T, 4 * C, C);
    add(a.x.data(), a.y.data(), T * C);
  }
  rmsnorm_forward(a.norm.data(), a.r.data(), a.x.data(), w.norm, T, C);
  matmul_forward(logits, a.norm.data(), w.head, T, C, s.padded);
}

/// The token at position t -> logits [Vp] of the one after it, given the passes over positions 0 to t - 1, whose keys and values are still
/// there. For sampling: what the backward pass needs is not kept.
template <class Real>
void model_next(const shape& s, const weights<const Real>& w, activations<Real>& a, std::int32_t token, std::size_t t, Real* logits) {
  const std::size_t C = s.width;
  embed_forward(a.x.data(), &token, w.token, w.position + t * C, 1, C);
  for (std::size_t l = 0; l < s.layers; ++l) {
    auto& k = a.layers[l];
    rmsnorm_forward(k.norm1.data(), k.r1.data(), a.x.data(), w.layers[l].norm1, 1, C);
    matmul_forward(k.qkv.data() + t * 3 * C, k.norm1.data(), w.layers[l].qkv, 1, C, 3 * C);
    attention_next(k.mixed.data(), a.scratch.data(), k.qkv.data(), t, C, s.heads);
    matmul_forward(a.y.data(), k.mixed.data(), w.layers[l].out, 1, C, C);
    add(a.x.data(), a.y.data(), C);
    rmsnorm_forward(k.norm2.data(), k.r2.data(), a.x.data(), w.layers[l].norm2, 1, C);
    matmul_forward(k.up.data(), k.norm2.data(), w.layers[l].up, 1, C, 4 * C);
    relu2_forward(k.act.data(), k.up.data(), 4 * C);
    matmul_forward(a.y.data(), k.act.data(), w.layers[l].down, 1, 4 * C, C);
    add(a.x.data(), a.y.data(), C);
  }
  rmsnorm_forward(a.norm.data(), a.r.data(), a.x.data(), w.norm, 1, C);
  matmul_forward(logits, a.norm.data(), w.head, 1, C, s.padded);
}

/// dlogits [T, Vp] -> gradients of all parameters, added to `d`, after the forward pass of the same sequence
template <class Real>
void model_backward(const shape& s, const weights<const Real>& w, const weights<Real>& d, activations<Real>& a, const std::int32_t* tokens,
                    std::size_t T, const Real* dlogits) {
  const std::size_t C = s.width;
  Real *dx = a.dx.data(), *dy = a.dy.data(), *scratch = a.scratch.data();
  std::fill_n(dx, T * C, Real(0));
  matmul_backward(dy, d.head, dlogits, a.norm.data(), w.head, scratch, T, C, s.padded);
  rmsnorm_backward(dx, d.norm, dy, a.x.data(), w.norm, a.r.data(), T, C);
  for (std::size_t l = s.layers; l-- > 0;) {
    auto& k = a.layers[l];
    matmul_backward(a.dact.data(), d.layers[l].down, dx, k.act.data(), w.layers[l].down, scratch, T, 4 * C, C);
    relu2_backward(a.dup.data(), a.dact.data(), k.up.data(), T * 4 * C);
    matmul_backward(dy, d.layers[l].up, a.dup.data(), k.norm2.data(), w.layers[l].up, scratch, T, C, 4 * C);
    rmsnorm_backward(dx, d.layers[l].norm2, dy, k.middle.data(), w.layers[l].norm2, k.r2.data(), T, C);
    matmul_backward(a.dmixed.data(), d.layers[l].out, dx, k.mixed.data(), w.layers[l].out, scratch, T, C, C);
    attention_backward(a.dqkv.data(), scratch, a.dmixed.data(), k.qkv.data(), k.p.data(), T, C, s.heads);
    matmul_backward(dy, d.layers[l].qkv, a.dqkv.data(), k.norm1.data(), w.layers[l].qkv, scratch, T, C, 3 * C);
    rmsnorm_backward(dx, d.layers[l].norm1, dy, k.x.data(), w.layers[l].norm1, k.r1.data(), T, C);
  }
  embed_backward(d.token, d.position, dx, tokens, T, C);
}

}  // namespace align
