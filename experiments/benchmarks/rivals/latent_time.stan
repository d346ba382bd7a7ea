// Three markers on one latent time: the model `latent_time` of ../simulators.py for Stan, 44 population values.
// Subject effects are not centred: onset, log pace, and the floors of three markers.
data {
  int<lower=1> n_visits;
  int<lower=1> n;
  array[3] matrix[n_visits, n] y;
  matrix[n_visits, n] time;
  vector[n] x1;
  vector[n] x2;
  array[n] int<lower=1, upper=4> site;
  vector[3] ceiling_centre;
  vector[3] midpoint_centre;
}
transformed data {
  // Orthonormal columns that sum to zero: site effects are standard normal within them, as ZeroSumNormal has it.
  matrix[4, 3] zero_sum = [[1, 1, 1], [-1, 1, 1], [0, -2, 1], [0, 0, -3]];
  for (k in 1 : 3) zero_sum[ : , k] /= sqrt(k * (k + 1.0));
}
parameters {
  vector[2] onset_x;
  vector[2] pace_x;
  real<lower=0> onset_site_sd;
  real<lower=0> pace_site_sd;
  vector[3] onset_site;
  vector[3] pace_site;
  vector[3] floor_;
  vector[2] floor_x;
  vector[3] ceiling;
  vector[3] midpoint;
  vector[3] rate;
  vector<lower=0>[5] spread;
  cholesky_factor_corr[5] factor;
  vector<lower=0>[3] sigma;
  matrix[5, n] z;
}
model {
  onset_x ~ normal(0, 1);
  pace_x ~ normal(0, 0.3);
  onset_site_sd ~ normal(0, 1);
  pace_site_sd ~ normal(0, 0.3);
  onset_site ~ std_normal();
  pace_site ~ std_normal();
  floor_ ~ normal(0, 0.5);
  floor_x ~ normal(0, 0.5);
  ceiling ~ normal(ceiling_centre, 0.5);
  midpoint ~ normal(midpoint_centre, 1);
  rate ~ normal(0, 0.5);
  spread ~ normal(0, [2, 0.5, 0.5, 0.5, 0.5]');
  factor ~ lkj_corr_cholesky(2);
  sigma ~ normal(0, 0.5);
  to_vector(z) ~ std_normal();

  matrix[5, n] b = diag_pre_multiply(spread, factor) * z;
  row_vector[n] onset = (x1 * onset_x[1] + x2 * onset_x[2] + onset_site_sd * (zero_sum * onset_site)[site])' + b[1];
  row_vector[n] pace = exp((x1 * pace_x[1] + x2 * pace_x[2] + pace_site_sd * (zero_sum * pace_site)[site])' + b[2]);
  matrix[n_visits, n] latent = rep_matrix(pace, n_visits) .* (time - rep_matrix(onset, n_visits));
  for (k in 1 : 3) {
    row_vector[n] low = floor_[k] + b[2 + k];
    if (k == 1) low += floor_x[1] * x1';
    if (k == 2) low += floor_x[2] * x2';
    matrix[n_visits, n] lows = rep_matrix(low, n_visits);
    to_vector(y[k]) ~ normal(
      to_vector(lows + (ceiling[k] - lows) .* inv_logit(exp(rate[k]) * (latent - midpoint[k]))), sigma[k]);
  }
}
generated quantities {
  matrix[5, 5] correlation = multiply_lower_tri_self_transpose(factor);
}
