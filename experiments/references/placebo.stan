// Natural history of log bilirubin in untreated patients: a straight line per patient.
//
//   y_ij ~ Normal(level_i + slope_i t_ij, noise_sd)
//   level_i = level + x_i' beta_level + b_i1,   slope_i = slope + x_i' beta_slope + b_i2
//   (b_i1, b_i2) ~ Normal(0, diag(sd) R diag(sd)),   written as b_i = diag(sd) chol(R) z_i with z_i ~ Normal(0, I)
//
// t in years since baseline, y = log(bilirubin in mg/dL).
// The <lower=0> bounds turn the normal priors of scales into half-normals.
data {
  int<lower=1> n_values;
  int<lower=1> n_subjects;
  int<lower=1> n_covariates;
  array[n_values] int<lower=1, upper=n_subjects> subject;
  vector[n_values] time;
  vector[n_values] value;
  matrix[n_subjects, n_covariates] covariates;
}
parameters {
  real level;
  real slope;
  vector[n_covariates] beta_level;
  vector[n_covariates] beta_slope;
  real<lower=0> level_sd;
  real<lower=0> slope_sd;
  cholesky_factor_corr[2] correlation_factor;
  real<lower=0> noise_sd;
  matrix[2, n_subjects] z;
}
model {
  matrix[2, n_subjects] b = diag_pre_multiply([level_sd, slope_sd]', correlation_factor) * z;
  vector[n_subjects] subject_level = level + covariates * beta_level + b[1]';
  vector[n_subjects] subject_slope = slope + covariates * beta_slope + b[2]';

  level ~ normal(0.5, 1);
  slope ~ normal(0.2, 0.2);
  beta_level ~ normal(0, 0.5);
  beta_slope ~ normal(0, 0.1);
  level_sd ~ normal(0, 1);
  slope_sd ~ normal(0, 0.2);
  correlation_factor ~ lkj_corr_cholesky(2);
  noise_sd ~ normal(0, 0.5);
  to_vector(z) ~ std_normal();

  value ~ normal(subject_level[subject] + subject_slope[subject] .* time, noise_sd);
}
generated quantities {
  real correlation = correlation_factor[2, 1];  // 2 x 2: the lower-left entry of chol(R) is the correlation
}
