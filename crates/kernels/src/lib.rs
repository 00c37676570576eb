//! CPU arithmetic behind tables of function pointers chosen at run time; knows no models.
