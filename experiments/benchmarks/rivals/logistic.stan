// One marker, logistic in time, three correlated subject effects: the model `logistic` of ../simulators.py for Stan.
// Subject effects are not centred; the <lower=0> bounds turn the normal priors of scales into half-normals.
data {
  int<lower=1> n_visits;
  int<lower=1> n;
  matrix[n_visits, n] y;
  matrix[n_visits, n] time;
}
parameters {
  vector[3] typical;
  vector<lower=0>[3] spread;
  cholesky_factor_corr[3] factor;
  real<lower=0> sigma;
  matrix[3, n] z;
}
model {
  matrix[3, n] b = diag_pre_multiply(spread, factor) * z;
  typical ~ normal([9, 4.5, 1.1]', [4, 2, 0.5]');
  spread ~ normal(0, [2, 1, 0.3]');
  factor ~ lkj_corr_cholesky(2);
  sigma ~ normal(0, 0.5);
  to_vector(z) ~ std_normal();
  matrix[n_visits, n] asymptote = rep_matrix(typical[1] + b[1], n_visits);
  matrix[n_visits, n] midpoint = rep_matrix(typical[2] + b[2], n_visits);
  matrix[n_visits, n] scale = rep_matrix(typical[3] + b[3], n_visits);
  to_vector(y) ~ normal(to_vector(asymptote .* inv_logit((time - midpoint) ./ scale)), sigma);
}
generated quantities {
  matrix[3, 3] correlation = multiply_lower_tri_self_transpose(factor);
}
