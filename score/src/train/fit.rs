//! linfa-svm behind a fence.
//!
//! *Why a fence*: linfa-svm 0.8.1 accepts anything. NaN fits with rho = NaN, `shrinking(true)`
//! gives a wrong rho, nu = 1 an infinite one; its `eps` is absolute while gradients are as large as
//! nu times the number of rows; that the solver gave up shows only in the text form. Rows come here
//! standardised, finite and capped; what leaves has been checked.

use linfa::DatasetBase;
use linfa::dataset::Pr;
use linfa::traits::Fit;
use linfa_svm::Svm;
use ndarray::{Array1, Array2};

use crate::svm::{PackedSvm, SvmParams, SvmParts};

/// What is the same for all fits of one sensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fitter {
    pub(crate) width: usize,
    pub(crate) nu: f64,
    pub(crate) gamma: f64,
    pub(crate) tolerance: f64,
}

/// A solution on standardised rows.
#[derive(Debug, Clone)]
pub(crate) struct Fitted {
    pub(crate) vectors: Vec<f64>,
    pub(crate) alpha: Vec<f64>,
    pub(crate) rho: f64,
}

impl Fitter {
    /// # Errors
    /// What the solver or its numbers lack.
    pub(crate) fn fit(&self, rows: &[f64]) -> Result<Fitted, String> {
        let n = rows.len() / self.width;
        if n == 0 || !rows.iter().all(|v| v.is_finite()) {
            return Err("its standardised rows are not finite numbers".into());
        }
        // Less than one and a half rows outside can't be told from none.
        let nu = self.nu.max((1.5 / n as f64).min(0.5));
        let mass = nu * n as f64;
        let records = Array2::from_shape_vec((n, self.width), rows.to_vec())
            .map_err(|e| format!("its rows have no shape: {e}"))?;
        let dataset = DatasetBase::new(records, Array1::from_elem(n, ()));
        let svm = Svm::<f64, Pr>::params()
            .nu_weight(nu)
            .gaussian_kernel(1.0 / self.gamma)
            .eps(self.tolerance * mass)
            .shrinking(false)
            .fit(&dataset)
            .map_err(|e| format!("the solver failed: {e}"))?;
        let exit = svm.to_string();
        if !exit.starts_with("Exited after") {
            return Err(format!("the solver gave up: {exit}"));
        }
        let total: f64 = svm.alpha.iter().sum();
        if !svm.rho.is_finite()
            || svm.alpha.len() != n
            || !total.is_finite()
            || (total - mass).abs() > 1e-6 * mass
        {
            return Err(format!("the solver's rho is {}, its weights sum to {total}", svm.rho));
        }
        let kept = || (0..n).filter(|i| svm.alpha[*i] > 0.0);
        let vectors = kept().flat_map(|i| &rows[i * self.width..(i + 1) * self.width]).copied();
        let alpha = kept().map(|i| svm.alpha[i]).collect();
        Ok(Fitted { vectors: vectors.collect(), alpha, rho: svm.rho })
    }

    /// The solution ready for standardised rows.
    pub(crate) fn pack(&self, fitted: &Fitted) -> Result<PackedSvm, String> {
        let params = SvmParams::new(SvmParts {
            mean: vec![0.0; self.width],
            scale: vec![1.0; self.width],
            vectors: fitted.vectors.clone(),
            alpha: fitted.alpha.clone(),
            gamma: self.gamma,
            rho: fitted.rho,
            ..SvmParts::default()
        });
        Ok(PackedSvm::new(&params.map_err(|e| e.to_string())?))
    }
}
