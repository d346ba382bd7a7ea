# The joint model of bilirubin and death by JMbayes2 (`models/pbc_joint.py`), chains one after the other.
#
#   Rscript jmbayes2.R HERE VISITS.csv EVENTS.csv DRAWS.csv SEED HAZARD     (HAZARD: weibull or splines, its default)
#
# Its default lengths. The priors of association, sex and correlation are dpm's; those of the marker's values and spreads
# and of the hazard stay its own, which it centres on the fits that it starts from. DRAWS.csv: chain and a column per value,
# those of the log hazard's basis named hazard_1 and so on.

arguments <- commandArgs(trailingOnly = TRUE)
source(file.path(arguments[1], "clock.R"))
suppressPackageStartupMessages(library(JMbayes2))

visits <- visits_of(arguments[2])
visits$log_bilirubin <- log(visits$log_bilirubin) # the table holds mg/dL
visits$female <- as.numeric(visits$female == "female")
events <- read.csv(arguments[3])
subjects <- unique(visits$subject)
ends <- events[match(subjects, events$subject), c("subject", "time", "event")]
ends$female <- visits$female[match(subjects, visits$subject)]
ends$ended <- as.numeric(ends$event != "censored")
names(visits)[names(visits) == "time"] <- "visit_time"

begun <- clocked({
  marker <- lme(log_bilirubin ~ visit_time * female, random = ~ visit_time | subject, data = visits, method = "ML")
  hazard <- coxph(Surv(time, ended) ~ female, data = ends, x = TRUE)
  list(marker = marker, hazard = hazard)
})
ran <- clocked(
  jm(begun$value$hazard, begun$value$marker,
    time_var = "visit_time", base_hazard = if (arguments[6] == "weibull") "weibull",
    priors = list(
      mean_alphas = list(0), Tau_alphas = list(diag(1, 1)), mean_gammas = 0, Tau_gammas = diag(1, 1), D_L_etaLKJ = 2
    ),
    cores = 1L, seed = as.integer(arguments[5])
  )
)
fitted <- ran$value

columns_of <- function(chain) {
  names <- c("betas1", "sigmas", "D", "gammas", "alphas", "bs_gammas")
  part <- lapply(fitted$mcmc[names], function(x) as.matrix(x[[chain]]))
  spread <- sqrt(part$D[, c(1, 3)])
  colnames(part$bs_gammas) <- paste0("hazard_", seq_len(ncol(part$bs_gammas)))
  data.frame(
    chain = chain,
    log_bilirubin_level = part$betas1[, "(Intercept)"], log_bilirubin_level_female = part$betas1[, "female"],
    log_bilirubin_slope = part$betas1[, "visit_time"], log_bilirubin_slope_female = part$betas1[, "visit_time:female"],
    log_bilirubin_level_sd = spread[, 1], log_bilirubin_slope_sd = spread[, 2],
    subject_correlation = part$D[, 2] / (spread[, 1] * spread[, 2]), log_bilirubin_sd = part$sigmas[, 1],
    end_female = part$gammas[, 1], end_log_bilirubin = part$alphas[, 1],
    part$bs_gammas
  )
}
write.csv(do.call(rbind, lapply(seq_len(fitted$control$n_chains), columns_of)), arguments[4], row.names = FALSE)

cat(json(list(
  cpu = begun$cpu + ran$cpu, wall = begun$wall + ran$wall, peak_gb = peak_gb(),
  subjects = length(subjects), events = sum(ends$ended), chains = fitted$control$n_chains,
  warmup = fitted$control$n_burnin, draws = fitted$control$n_iter - fitted$control$n_burnin,
  version = sprintf("R %s, JMbayes2 %s", getRversion(), packageVersion("JMbayes2"))
)), "\n")
