// One marker, logistic in time, three correlated subject effects: the model `logistic` of ../simulators.py for TMB.
//
//   y_ij ~ N(A_i / (1 + exp(-(t_ij - m_i) / s_i)), sigma^2),   (A_i, m_i, s_i) = mean + diag(sd) u_i,   u_i ~ N(0, R)
#include <TMB.hpp>

template <class Type>
Type objective_function<Type>::operator()() {
  DATA_MATRIX(y);     // visit x subject
  DATA_MATRIX(time);  // visit x subject
  PARAMETER_VECTOR(mean);
  PARAMETER_VECTOR(log_sd);
  PARAMETER_VECTOR(theta);  // of the correlation
  PARAMETER(log_sigma);
  PARAMETER_MATRIX(u);  // effect x subject

  vector<Type> sd = exp(log_sd);
  Type sigma = exp(log_sigma);
  density::UNSTRUCTURED_CORR_t<Type> correlated(theta);
  Type total = 0;
  for (int i = 0; i < y.cols(); i++) {
    vector<Type> own = u.col(i);
    total += correlated(own);
    vector<Type> value = mean + sd * own;
    for (int j = 0; j < y.rows(); j++) {
      // The logistic curve by tanh, which does not overflow.
      Type course = value(0) * Type(0.5) * (Type(1) + tanh(Type(0.5) * (time(j, i) - value(1)) / value(2)));
      total -= dnorm(y(j, i), course, sigma, true);
    }
  }
  matrix<Type> correlation = correlated.cov();
  ADREPORT(sd);
  ADREPORT(sigma);
  REPORT(correlation);
  return total;
}
