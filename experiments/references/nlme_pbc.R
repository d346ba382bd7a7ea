# Linear mixed models by nlme (maximum likelihood), as references for dpm's own fits.
#
# Data: Mayo primary biliary cholangitis trial (data/pbc/pbc_longitudinal.csv) and nlme's own Orthodont.
# Outcome log(bilirubin in mg/dL), time in years since baseline (day / 365.25), random level and slope per patient.
# Standard errors are those of the information matrix at the maximum, sqrt(diag(vcov)); summary.lme() multiplies them by
# sqrt(N / (N - p)), which is stored beside them as se_summary. Every log-likelihood is computed again by lme4.
# Run from the repository root; see README.md.

library(nlme)
library(jsonlite)

DATA <- "data/pbc/pbc_longitudinal.csv"
OUT <- "experiments/references/results/nlme_pbc.json"
COVARIATES <- c("age", "female", "log_albumin", "log_protime", "edema")
STANDARDISED <- c("age", "log_albumin", "log_protime")
PLANNED_YEARS <- c(0, 0.5, 1:15)

# With the default msTol, optim stops where the level sd is wrong in its fourth digit on these data.
TIGHT <- lmeControl(opt = "optim", maxIter = 500, msMaxIter = 2000, tolerance = 1e-10, msTol = 1e-14)
TIGHT_LME4 <- lme4::lmerControl(optCtrl = list(ftol_abs = 1e-12, xtol_abs = 1e-10, maxeval = 1e5))

# Baseline covariates joined to every visit; age, log albumin and log protime standardised over the patients of `visits`
# (mean and sd, n - 1). Returns the visits with columns years, log_bilirubin and the five covariates.
with_baseline <- function(visits) {
  first <- visits[visits$day == 0, ]
  stopifnot(nrow(first) == length(unique(visits$id)))
  baseline <- data.frame(
    id = first$id, age = first$age, female = as.numeric(first$sex == "female"),
    log_albumin = log(first$albumin), log_protime = log(first$protime), edema = first$edema
  )
  for (name in STANDARDISED) baseline[[name]] <- as.numeric(scale(baseline[[name]]))
  joined <- merge(data.frame(
    id = visits$id, treated = as.numeric(visits$arm == "dpenicillamine"),
    sex_female = as.numeric(visits$sex == "female"),
    years = visits$day / 365.25, log_bilirubin = log(visits$bilirubin)
  ), baseline, by = "id")
  joined[order(joined$id, joined$years), ]
}

# Visits that look called for by the illness: at most 90 days before death or transplant, and more than 60 days from
# every planned time.
terminal <- function(visits) {
  planned <- sapply(PLANNED_YEARS, function(at) abs(visits$day - 365.25 * at))
  visits$event != "censored" & visits$futime_days - visits$day <= 90 & apply(planned, 1, min) > 60
}

# Standard deviations of the random effects, their correlation and the residual sd of an lme or lmer fit.
variance <- function(fit) {
  if (inherits(fit, "merMod")) {
    g <- lme4::VarCorr(fit)[[1]]
    sd <- attr(g, "stddev")
    correlation <- attr(g, "correlation")[1, 2]
    return(list(level_sd = sd[[1]], slope_sd = sd[[2]], correlation = correlation, noise_sd = sigma(fit)))
  }
  g <- getVarCov(fit)
  list(
    level_sd = sqrt(g[1, 1]), slope_sd = sqrt(g[2, 2]),
    correlation = g[1, 2] / sqrt(g[1, 1] * g[2, 2]), noise_sd = fit$sigma
  )
}

# One model by ML in nlme and again in lme4.
# Returns fixed effects with both standard errors, variance components and log-likelihoods of both, rows, subjects.
reference <- function(fixed, random, group, data) {
  fit <- do.call(lme, list(
    fixed = fixed, random = as.formula(paste(deparse(random), "|", group)),
    data = data, method = "ML", control = TIGHT
  ))
  terms <- paste(deparse(fixed, width.cutoff = 500), "+ (", as.character(random)[2], "|", group, ")")
  again <- lme4::lmer(as.formula(terms), data = data, REML = FALSE, control = TIGHT_LME4)
  list(
    formula = terms, rows = nrow(data), subjects = length(unique(data[[group]])),
    fixed = as.list(fixef(fit)), se = as.list(sqrt(diag(vcov(fit)))),
    se_summary = as.list(summary(fit)$tTable[, "Std.Error"]), variance = variance(fit),
    variance_lme4 = variance(again),
    loglik = as.numeric(logLik(fit)), loglik_lme4 = as.numeric(logLik(again)),
    largest_fixed_difference_lme4 = max(abs(lme4::fixef(again) - fixef(fit)))
  )
}

# Years-by-arm contrast, D-penicillamine minus placebo: slope difference per year, difference in change at 2 years.
contrast <- function(model) {
  slope <- model$fixed[["years:treated"]]
  se <- model$se[["years:treated"]]
  list(slope = slope, slope_se = se, change_at_2_years = 2 * slope, change_at_2_years_se = 2 * se)
}

# The randomised comparison in four forms: with and without a main effect of arm, with and without covariates.
randomised <- function(data) {
  adjusted <- paste(sprintf("years * %s", COVARIATES), collapse = " + ")
  right <- list(
    main_effect = "years * treated", common_baseline = "years + years:treated",
    main_effect_covariates = paste("years * treated +", adjusted),
    common_baseline_covariates = paste("years + years:treated +", adjusted)
  )
  lapply(right, function(terms) {
    model <- reference(as.formula(paste("log_bilirubin ~", terms)), ~years, "id", data)
    c(model, list(contrast = contrast(model)))
  })
}

# The same model by restricted maximum likelihood, estimates only.
restricted <- function(fixed, random, data) {
  fit <- do.call(lme, list(fixed = fixed, random = random, data = data, method = "REML", control = TIGHT))
  list(
    fixed = as.list(fixef(fit)), se = as.list(sqrt(diag(vcov(fit)))),
    variance = variance(fit), loglik = as.numeric(logLik(fit))
  )
}

orthodont <- function() {
  data <- as.data.frame(Orthodont)
  data$Female <- as.numeric(data$Sex == "Female")
  list(
    age = reference(distance ~ age, ~age, "Subject", data),
    age_reml = restricted(distance ~ age, ~ age | Subject, data),
    age_sex = reference(distance ~ age * Female, ~age, "Subject", data)
  )
}

# The placebo model under the names of stan_placebo.json: estimate and standard error of each fixed effect, variance
# components with the approximate 95 % interval of nlme (normal on the log or Fisher scale).
placebo <- function(data) {
  terms <- as.formula(paste("log_bilirubin ~", paste(sprintf("years * %s", COVARIATES), collapse = " + ")))
  model <- reference(terms, ~years, "id", data)
  site <- sub("^years:", "slope_", names(model$fixed))
  site[site %in% COVARIATES] <- paste0("level_", site[site %in% COVARIATES])
  site[site == "(Intercept)"] <- "level"
  site[site == "years"] <- "slope"
  fixed <- Map(function(estimate, se) list(estimate = estimate, se = se), model$fixed, model$se)
  fit <- do.call(lme, list(fixed = terms, random = ~ years | id, data = data, method = "ML", control = TIGHT))
  range <- intervals(fit, which = "var-cov")
  table <- rbind(as.matrix(range$reStruct$id), range$sigma[c("lower", "est.", "upper")])
  scale <- lapply(1:4, function(i) list(estimate = table[i, 2], low = table[i, 1], high = table[i, 3]))
  names(scale) <- c("level_sd", "slope_sd", "correlation", "noise_sd")
  c(model, list(parameters = c(setNames(fixed, site), scale)))
}

main <- function() {
  visits <- read.csv(DATA)
  everyone <- with_baseline(visits)
  dropped <- terminal(visits)
  result <- list(
    data = list(file = DATA, sha256 = sub(" .*", "", system(paste("sha256sum", DATA), intern = TRUE))),
    versions = list(
      R = as.character(getRversion()), nlme = as.character(packageVersion("nlme")),
      lme4 = as.character(packageVersion("lme4"))
    ),
    a_all_patients = reference(log_bilirubin ~ years, ~years, "id", everyone),
    a_all_patients_reml = restricted(log_bilirubin ~ years, ~ years | id, everyone),
    a_all_patients_female = reference(log_bilirubin ~ years * sex_female, ~years, "id", everyone),
    b_randomised = randomised(everyone),
    c_orthodont = orthodont(),
    d_placebo = placebo(with_baseline(visits[visits$arm == "placebo", ])),
    e_terminal_visits_left_out = list(
      rows_left_out = sum(dropped), rows_left_out_by_arm = as.list(table(visits$arm[dropped])),
      models = randomised(with_baseline(visits[!dropped, ]))
    )
  )
  write_json(result, OUT, auto_unbox = TRUE, digits = NA, pretty = TRUE)
  str(result, give.attr = FALSE, digits.d = 7, max.level = 3)
}

main()
