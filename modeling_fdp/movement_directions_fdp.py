"""Initial directions of the movement scorer: Fisher directions of facial movement against drift of head and light.

`python -m training_fdp.methods.movement_directions` fits these numbers and writes the two blocks below;
docs/results/windows.md has its command. They are in the code, because an untrained network needs them where
`training_fdp` is not installed; a checkpoint holds trained directions. They were fitted on faces of both renderers,
aligned by five points at `crop_scale=2.0`; another crop needs other directions.
"""

import base64

import torch

NUM_DIRECTIONS, MOTION_SIZE = 16, 512
# One factor per direction on 8-bit values in base 85, direction by direction, motion to the right first, row by row.
SCALES = (
    0.0910366, 0.0690041, 0.0742273, 0.0650917, 0.0416705, 0.0491961, 0.0412539, 0.0436165,
    0.0637819, 0.0447568, 0.039352, 0.0515957, 0.0287878, 0.0314482, 0.0274903, 0.0305032,
)  # fmt: skip
VALUES = (
    "3i}52{uT%6_5}k74*L-Q`wtxZ`XCw#5C!n#@%aDi{`~Rm2KxC57W(A+4g&lI6Zi%P2=?&&2M7oO1Ns981PBWV1pNLF3m6Up0siv$`~~*%1|B6A0P"
    "WrX7!d^%3lbIG1y(Eu@xZL~6zK8`{{|HD3`iFN{m!=T72n|v0{j^W2_O>$1Lf2E4&Lky1pFiq<^ccu^!ET0@YnhT0r3LUzs<PvFHtl}EcE~i{`TU"
    "Ty3ouG5mF&Ra3lWw{RZl|%jWwI{1W^tP!;s@`v3jq>ihx)?fLi!7ZL&j@bd5C?EwA`01g=w6%i5q3<d-X5fTjl_w)zn0`>Co4+RMI@cQQ70{HL&2"
    "?i7i@(2d~2nzJ<4+sbn3IqlD{u}@O0t^QC0~i1A?-UsQ1M~O>`0w)c`2_Ov@C^nG0O#)h|MBbk_w@7v|M~Rz`~dO(0r>t43<&o6_v!Kl{`l+b-_0"
    "T{C>QPN@8<LU9RlX<@#rT<M=kZ?^y>rv`StGP((Vc~Lm=wR4DtmF2M-Gi6ZZ863HS2q{__9`{{<QHwW;bU9_XvA=@bM1{QDB-nU(TMQ3|Dj+7bx>"
    "2>=QR&$<~+NEgGs1P==P_6ZFQ1O+!#Su^@0FANRl1{)C&3IHlMGz<wA9R>vh`~Ca;`R)c17WE1W_4*D11pNUG0_+e64g&n_00rsr3Gvh3*tvzfP<"
    "vG;K{FT)0^;lm71@ETNq8dg@);Hd3F-R|6YkyKASes^`T+X?82AGP3hM>~4G;<f1ONy85&8ZL_Qv)Q6BHc(`w#Q`015>6>KZT|`PKgw4GHA@1sxv"
    "Z_)0+r*|Wb34DaLo;}9hb`y3?s<=xr@=G5d7@d*(R;^+zu1OpEC;o=7X_xS|q)$9HV2Kyr*8UhXo{q_aU%?2$j=kgjrJsuDL|NQ#{-}Vd+-}f0N9"
    "1i&g_Wb_=2Jrd`=>iYs>Iw}Q1OyNM0R;#i^8NDa1O)sG{Pphe0r~S4_w)q=6ZQ8B{Nwxb0qXo6DB|S#`s?rZ{s;Nox|f^`2#JKQ#o6@)6cYsr?#Q"
    "$d36;$X0|Fov`S}M5_6hq07wZ8S78U*x4D{de+4Sx0?eOs9?)d5y@(Anz_X+^y=>HZ01^4Cj3HuizDn0w%)eBNP9u@lo|JwNuF+C9N-Wovn1mWQR"
    "1?=PT05>cU0U;;b`S<z;_5TC!^)EdvD>*mu^%?OB`2-i-=ng3;AQ}zu?jqv_6ABvP%-`nV;NIco?ECKw{tOuj+_<i_!O73(1tJUz{|F5P{NKXB%H"
    "{q791aHj69W?y5(@zB<NX&80|)U2`t<?*0`2(!;r9CU_W=L?{rnCN><R=41oHm>4fOf|^z;A;1UO$dv5MCM6b}*z<qIAJ@*rPBo`K^J_2BOU{u2c"
    "E-t;6P<=z1b4E_B376bVE{P+X|0tNc`3=b3q2>cKf9Rm3S0{{Q%`33*~00agP2nGQR1p)u>?CbIK_zxHb`5+t%^Xc#S`t$q*@d^*^>k$$L`0Mr-6"
    "$bSC_W}d*`ve091ONUYA_(mE0r~Lj?DP8h_W1b>4iN(d`v2t9$=?7B?)e%u83XMI`vdgj&ByT&_6a#P4-EeX1Pl}g0PO||_533G{Ra38><t?V8x9"
    "2b0_^4U{{Za;4F>l00{0962lfyR`v3U}{Rsa06b$a;=mQxZ2lws`{nF0s5*Gc!!vqx*0p;2H4$|WH2M`0(%LEDl1MANU4FwDe0|5gH_W$<y`ws{e"
    ">-_HW_3rWn^#BA5{R9C3`uzIq@c8cd3H=5F^!EVw4h;<q3HaRQ_w?=d{0jp6{QVLe8w>U1;q3bZ77zsM{RsE~E*c5{{RR^%8T1DO`TP75CL0tF86"
    "_JeCj0pH`Stex2?`M`Ga?QL6Z`oL{0s&lAO`XA^YIH73lJ9U>=6DA3*^VNsl)CC3jF{C{{Hay{^7u=snYZG_XYX%{{H_3{qN`A*75T4`3V9K3I+2"
    "B4F~%6?EeD<0}Ji~?hFa^1Nr+S_V)h<^zaz`01+n?^3(_-2l5FY;O77M0~{Fy@zTNJK{q-R{o~*I@dE?w2mi;_GC2kK7ZCpp=Hlt)`waZ^4hix74"
    ";va4`t|bh^$Pd+0|E&U{RSTV^8gLy*b4Rn1pWmo2mlQU1O@&12^0Yb1^Mj?90&Ib0{<U07X$?P_4MoL;NJHO@ctVk_XQsV<m>j^y5{-@0R8p$=jI"
    "$D_W~RS@fivK2@3Dy=j`(g4htVGD<A#&{{RN*<LUYa{rn0PBm@Hc0s8gq0O<Y=3k(|!`S17u4D{m!3=9zU0`~a=@Cp+V_UiQ__51z#0|WvL`x*)f"
    "_X7$D_yrUM0T>Gm2NM(d0xu~J`wd4lEJQIGA2llj{}~bf0{9gq6(tV<5FiKt_xJ$>B@FTG-|-6z{sRpA0|fyBGaKUI*ytG@0{;pK2=@N+6A<|a4g"
    "V4p0}K%Q{^s7__yhj?2?h28_4EY|3-iCT{0iym>hR^^-q!gD3-ILM?E>%R?)~z@?d0O}_x|?f^&cP#4J9Sf%K8ik`}y+q6hcrnIZ{FZ-u4If`}gt"
    "j6*)R1A2>iA^$H6C`1$tl5EAUgzVRV95fJtW{O}D0|LU)Ufw}q|`U(j40P+I``ux|kyyN)z{{iv~2Mz-U0too_@$v!l1s4?!`_k9%)Ya4a3?mZ+3"
    ">+8+4aUOx1SxN2?$EgCBsVGj2F~aZ@EUz_zOdC93m!WJ^5O{x*W4T*=j|IY3ji7m`v3m^<<sNz7$6W38~^_X{_)`F+U)Z50U8hw69pCo@Z8tIw;~"
    "?<=IZrYUOg!d2L#X1<`xC~>+tX;QZxY+<qQW%Ee7`T{u}Vgt>Fs@&iNQ9{{`~x@-iN?fzl@h^yLf??)lsF`$-tf!VxDE3+DFzB_sFvEHd%S_9+|j"
    "0RH(5DMv8=@X_S`?GXz7=k)yx67T%|0Qda>^C24u{`dJ4_RP@i2_PB@{u(0f>Hqr&1^@RK2Jij+;u-$@74+fw84lRb`se`u|Ha=6^4#J0Au1pF11"
    "=!}@X6K+`q$s;1TZZM1}_}`?9tg7?BMnC@&Fg>^#$|s3lQW29~2A#1OWpJ1qk^21r`Vo9u)QL@!s1R`Tz0Z<?#s$_xaxF;<V@p{PO@90R0mB`2P4"
    "TUKI=f?C1Ps9oGXF4DstUK`0UZ`2*z=FWT)D^%?Tn(EJu1A15ETw*CL}{`(`?!15(OJt-pD#ts(t_3I7<xw7UP6ztmEH60574;U*d>%`Xi0piZ^L"
    "K_L{0ty=k4IlaK`T#3bDis0!_X-00`U?8z`UEgR1`YfJ=N=6D3<K=c^9uV1@8u)=`3VyC2M-7H0Oa@l1OxC4{|+Sw?f3-o<LC_p^z`%v1@r&)?Dh"
    "8&1pgTi0Q2wc8S3%}4FUiT2MQ1O{u2`P0RR342MQ4W?D6#W_7NQd2N?ta`u_U+_5cP1`UCvr01x~34FTxz`U(Z{=JxdP3;+W2?+gX(`1jxd3j`7X"
    "2Kw#A-w_l2{Qvqbc2^hZ|N8y&4;U5$2=??3KQjCa1_2E25FQcV?CIRt*zM%@{r(&11ZF<y0rj!U*6jxI4+sb%3py+S3-ie4-}40f>+Sdt7x(?>00"
    "9CA@f{2V3Ek)Q`t<__2?hrV85Ixz68zxn`~>>$|N8j^3Gd?u<r@wY3jP55{~;F+1{4hN3KSa|3HbT*`U3q02pJvx_XQXd1M%VB@A?4&0T2WE{Q?I"
    "D5e3WA)Y}IR{|pKd2L15v4-nwl&e;A80}B2U@(c*{0SE{K`v(gQ_x$440SgNB*WCj002l4u0234h{SO85ArK4%3kuiF9y==h0{aC4KQs~#4GiuB+"
    "5{Hu^#%p-@g*f9Bp~ze=k)~!`11XWm<Ux|NkbFB!uksO1N{Y{fyEv|HX-P=(clLO1P=kdkc7eO@Z7r7?EC}s1O*N2!mrfn@Ac*e1`{3w3i%Tk2lD"
    "{~`TO(+3Lp#!0RR*K3H=5i5C`%K1Mvd>0v81L1p5u}(*qs$3;6=>@agvk_VX0=+VT|j{rnIJ4dwS50O$(@^!ObL3kU!H1MLj`{_67m{s##B1_~Am"
    "@c8@M2MGWD`SI%O4H_d01quG$5<oc<0MXC&A|V9;1{D_dAxAU{_s+xs2jAiR?fVS}8vX(d{P+a}`QQZr1pfp3*5LOB?H@laB?b%e5$y!<z}4jA`!"
    "78ZAuk>8688NR9{teG7(VQ^+zJf^1Mm<|N%Q8@@(t*`xbFb&0r~$YDDDFO{vROl-~|5t1o7|c_yQa%^X&Wr3nUKm^VQ???)@Ad?at&56(=7H4)pE"
    "#`s@Ay{R9XP0tNOH5&;MS<?IXf(ewiW`UD0A3IGiR_vP#F@9y;x2><y8>=qFQ^2X5O<MQVN5Eu~f{SFQn_0q=8+~nyM1qB!F|Ns362J!3N+u!2^>"
    ")a3f2mR;g@!kLR@)7gm!?*SF3gynZ!}cy2Cp`_%tEck=1qSrX+D=_oU1B}T%;^342nOM}(K=UBQ&(2^>iYcf=J)h2ED#zZ9uEo*3F-O=1M&cOEyA"
    "3qqL;V<H~9h!{}A?3K+}YQm8I=KN&^V=5d!NBI|ISC#MvBI8v+mM_7@QYG9dfj-w8Y~_XHmQ{t6ru8VT;&*!n9F9ugD>3k3-g9rX6!<oN#d9`ptM"
    "{sQ{}3j_D=<n{Xr0Pz9_5e)tRBmvIR<@*Z-1@Za*`~UF!6%F(K@#OyV0}=Mn8xjBm6b=d+`t1Dl=KT2O6D1lI3HbgC?&tvh)bIG|00j611o!y(>G"
    ">D_=L7=+`TX(t7ZUmL-R~#$1Pvbz^%LgX-SQLu;`0hDQ&2nl0WkpqKo}tg?FJ16IB`Vx=oca~U=sQR;o|?Vz!Vhj3Hu)-3eLd<6aFjTrtJIr4f+}"
    "f@6g;Y9SJ26<mc=C3-t&0?&Iw5-1-R;3Fz<t1^@^9)7Ss^+YJ~U0rL0&{vQba-qZsK=lb^T`|RoP2nYED4+#1G1N;321^WC1^7jn<@9g&t{Qdy|6"
    "cZ2N`x7Gv^yS9c?C1Us7akZ53l<Cb^5)CT<nQqZ0sa^g@A>%x_4)P!4-@?e0qy|;>-+5P@D2?SAr}Du5()$U1Mczm`ULL&2ofCx6cqFe@96jP+0z"
    "9F2MP}aJ~#Ic4e#mXEjtqu8X4u?Jv<W+1LPGlR!sm7B^=VZ`U?yP0Q~FVf!N{k0{{BArQG}i=JOiy<N@p7(&ZTPkO%|*4EGTxEEomy=nqId-w6!{"
    "^YQu%NH-+<?;~4ZAoKw75B&oKBmwE;;`S^%4eSX23IG53_3`ZW1Nr|B3J4Sn{`LCq{R9B_1p^iY^#Bs{`uhw55C!=Q>F62|{sad1`}GF@0SV>b(A"
    "oj}0sQ*{4fps02@n0~>+b>l{095@7XShJ`uh6*2KM~;^Z^J20|5U0_4W1%5&HA`_yPO;^!ft@1pD~}5B=is1pD~)1o#9A1^EOC3<L4_^Y#M<{_5`"
    "o_wDo&9S{EX4F>e~3H}2Z2<`G4JRk@11o`O%5dH-i8ujuMDjgjN_w@A%?eq8x4DIXq6)rt42L1sH{Ph74DHFnhlB?()D+~Yu4gmxVEjs+n(Yw_S7"
    "X1GO0|og5`T`aqC>aX(`33|B_6h+I1NQ(AAQJ`q1q%uP_y_w32@VPW1_t~93I_x8@8<Ia0r2+>0sZ~~3IYcC_wxh@|LNG@{`~s`0}2fb4+;GH1q}"
    "V_1Ox*I0|*BJ1p@v0000XI2@MDZ00RaC0|Ni{^!Ne-4G#bO0s0692KoI4_W%3>6&VBu3Ih}b1N8I%0Tm7e6c_~v3jzKL2>AN~2?zuJ1pod5^5FFc"
    "_yGv$&D!$z`}P9|_~!Kg`T_y*`t$bn^Z5w<_x=0{`~Uj{4j&l`5g!fm^acA4{QwRf6dNfX9}w}_;{W^h2K)#W2m1v1`}XMV=K=r_`~UIs`uFhc?("
    "Fjq1`7lM@(c?A{r&p={P+R`4Fn1S3Hto-^#2bF6ZrWA3i|*5_ZA5NC=b~P3+Dz01N;F33mX#?E)BoD)y@S35(Do59X1g2{tE!s&BqP*00Z*$3J?Y"
    "V{sI&f1LP0;5()qZ`v3I+`}`IwB?k`x6aE7n2mSKy0_yx391QyY59{y<9Rb|v3E>L{{q^+=J2DFj1JtPlJpKy-@dz;28CVek5W1!r8|d~B`T{M=t"
    "N8N`Bni?LE$;FX4h{Xmx##{1?hNPt8}IAu`3L&z-0%Dl@eBFo_XGq72rvNs1OWd0`UMFF?*suD79{=y|Md0p|N9UU^W5O}1OWE^{{aQ`_5=J0_xa"
    "xC{r&z01q}fN_yqO>0sZ#<1^@K;1qAjB1sN$D1o`L|{s$l!2^IYM1|2pm7yi1(-Q@}x4-g0p8Uhgr{oS*|*wX9!`vC#+{s8#}4E^I03Gws@0{;dE"
    "01@~I91GX}0{Z(72M7fO1S<*y5DWDG?BnU>+wki310^OnGe#p5_VXGZ<H_U!{}3TK&GiNc`36^i4%6@Y0uA`ak>LFH>iSGj5b^N-0t@}{8Yl(t<>"
    "&j^*Z$`L0tg7~3Lp~-0R#Hv^$qa(3H$c<0tycV{QUCm`TF|#3IXH?1@!s(`SjW41pos31p4v$_UQTo1oYVR|Ns5>`Uw34{__0`4F2r*1q1;B4ig3"
    "i{{{g3`1|<q3kc=~@D2syC<gWd@%j1p5djAT3-{66Dg^ND%jX&r8V>vA5$fFS;`<x_slgN=5)lyF_v`KG$k+!E&*~HtAs`3><lN=n-p}6%2pt?BF"
    "dqvf@Zjq2_uS?I3l<6$CmsqK<njvp=Q$V$|LNQ+6!Y{F><lv%9DhRy`@)bD0?X<O^C2_%DPubb^~#$0F$xnR{`dyb%Nr8`_xbfK2oE6&_U`4-#Qr"
    "H5-RB-I3l|^_>+<sV?#}uG?#>eu`40pI5AyaD9`xz*Bns)_>Hi!E3i9v!2nFZOH8J=M0SqAd{qg(=_w4TN7!w2m*ai;x^ZNM*ANK$O3G4kJ`Ue*x"
    "0R<y52=MI*`uY|NA`Ai@5Bn)G59zSO*x(8*M=bjS2ksjc|KGvg>dfo|2>15~7bhMJ6ZHBV8~GX*^xO>m@D=?575otr2NWC^5b_NW3Ip-@0t6G~<o"
    "*5#0S^uV{r?yA`4SxW4k-yG9xxgX`2GFyOg0tx4;=aa@e2Y40QdF|Gz9(8-~sLU@AdfX4g%>ZKLO;p#O@YH`1TDL^ZM`)Bk$R{!0Zo51>5ic1PBl"
    "7+wJ%2?g<4K4eJaO@DBLw<O(7$FenxU=lc5{`1J7U-0>7OI2IDtzxV9<4EOu&)$sZZA{PGY{1p=d_y+a%=>i-0@(Aqz`TF|t7zYCm`uF4$6!Z@O4"
    "i*v(`UwswE)1N3nzi~AEI1Sd10xUj`W)Pxmb(E73m_2w@(&Xt?hG*@0rC?7^7s1*1^5Ie`~Dy$Hz*JI^!oxC3<vTE1_})h85a}<@%97^{S*!E02l"
    "@Z4+sDL?dAaV0U;ss>jw7o2nq@h@6!GA00|fQ<nZk0^#2kQ?a%-N@9zZw=JEUg_4N@N2Lu231_c4_*7N@q1pEgS8U_LX@cs1c_7fE;IU3yR`279{"
    "0|yZf6C4i!@#WF&{`dF-00901_Wujo#@g-v`~3s^0|NZ|0QU0M<L2xB`0xMk1Mutt`v3U;{rL3;_x$qt1Nr|64Fl;D5B>)P@#W_O_XY#-`U}$3BM"
    "}Dl_Wk|`1rQ4Y_zC^wJ1rdt_xb+?1OosC{Qd{|5gZQe@b~=u1^WI1`ThC-3k?bO0u%oH1^EaH2oV+p2?G}#6A1?h2K@N^`27m>1O)5@`2`IB0PW}"
    "7`}Ftz0sq|3%K-ig5%u!p2loIK5cuTd<_`b)01Ex>2KWpe7Xj%G1^*HL0T2WN`|$-A5eEhlAo}|K?EVB80QLF`0sa3BA^H3H5cviT1p5LH0QCb4{"
    "RjvG4EGQF1qB8K|M>tG0SWB(^acg^`vwU5`T+h8`Um*)`2qt10tW>F_yhp|{q+(H<opi{@(ca%5fu>`>+v824iiEn?Z2Ow*7qMU|M3e9>;@<@83?"
    "MA!SnzL1pECH*!2DC3L)tL>Fn+2{R#aI(D>}_5Ci%x7ZD8F>;CuZ{|Va;@$C&93L6*i;SM0t5fl(6%>M2A>IpDSEd%-70}dQ2`VaN~^WgtqKiJOT"
    "`U&I%9ufBe8yWpJKMnu=045Fb`5+1l@&5(J?i(@>2n-l187K-G0nW;_r|cOH^7!)k;@tEF#MBQT2lNE&6bjnI>B89X+x0|F2o4zd3jGY;`w$Nu5c"
    "B#R-2@Es5e^Cn4lNDj`xpD(*z^ed@dg4D5A^%x^a33N{Q3(5{rKX!-#94e)(H*DxYGUP4k!}l{!l&V7<Wql?HUvA{y-<{?@LR=Cwxo@@gNWZ<}O1"
    "10Vo%N*%cu6`W!6~<O(1c4GZz7)a(7~@7xRX<NNdv|N7(c=f%+D_Uz;E=<@IL*UIwc*4#Hx9Q@k{4h-_)!q@iL-3VJ~7WncA`tl7-XfO@y_7yHYE"
    "fWvw6!!snaV-<|0U;>+@An1`3Hk^j3EK2GLKXSVxe@^m1n?15ImN8*{K?YZ@-ztb^7Zm9_^GPM$+WVn_ZIEy9P;<-uINBpQ6~qy?DGfx9{KtG*yT"
    "P-Kp6e!0PXJ+=-~bZ@8A684*~cJ{Ou0z5eDJ>6bLLc_ZIr>5b6T=2ooGE75PLx3MC>Q1_28W@bwxa_1g;n@azd04)+KK0R0UH00IL3_3|Gh0`%(q"
    "5)2Uh`1}tM3il2k4+szc_W~Xn3jXl`6aWbb3K0?V{qF1__2uRR6#M@K2onAY`Qy|Q)3Vh83HRmO2_F6h_wf@*=DpGS^z-Kg^#kYj2pJMK4C&t8<o"
    ")e8`r!8z@)7_qP&5($>;?2mPWR~i0r2rPZ8RiTQzP^&Px$)z0PzAMJr%Z~>iqT{KK%jz1N#Kx4j|8gzVG=93EKb@{_^YZ=l|f+1OWN{{0H>;?g0A"
    "y@$~fH1p(sd`27DD3jqrV?br1P8!#CaFdYR6`RVQV?b-ef2p<jg4j(A~@#yaM-?+s2^ZM-P2?P@Q?)>8X2=UhO1NHPIAOZ;h=lJyd0`=qL1oQtb8"
    "WSY=_Vo7X-q+&w8vhp+4mA+=_wwZE?EC=(9uf*KBq9|I`|joB4HNAE90uY3CJzwk3G4O-6%qOW4hiG-DgX!$+Vb1|BqIk46&eEuAQ~bi^#}i5VI2"
    "MO?Bc}oEfNCp5)JoINge;^;KY`y<N62v`uPv^?Fa`149<(L><If2^#uUYyb2v3BM{Wy@+9~A@e2L`1Q7!W7ZdXH@%jSy2p$do{Qds?_XG?3_Xz<Y"
    "_w?%L9PG;VHva_&8U6t#2>%QJ?zFP8Bp*#42ln&>^&uME;MDT?1o0398Vex}?hy#<3Kkqb3-kN+^&bur<qrt@0v{zQ9`*AQ1N`pr@&^R{0TTxg7X"
    "I1;2NeVM1Q;I$<>}%H4j}#7;P>kS_7q3Qu_*!m4)xdn@!at8<p?8ztvUw(9pR-NLe1VK`ScL&^F96g7zW)rQO@ZR_6h<fJ2dt0_zdIgC+F$_<mmH"
    "FEzIG`!3I$)3=Iwh{P_ho2-O!T1`kXa;|cTn2p|#i@C!Rn@5tWu_!as01OxdI@e2qO$eimI9Weap-Uapo&)n?|6ZZcH_8<}e=kO5o?GOs(<u_O>2"
    "l(R?2Kx>e4HgBjzb{QgI3EE5>h1XC<>BGm@(2+20wNgL$M^>bArbN>ECeC-`}+d-@(}G1Bna^U8tn=E3*zAK8XMEp=IGS)5Z~YI?aT=-4iN_;BK+"
    "9;2K4FX0vY=m+6V+X9>3fI1^pIFHWkg`=^iW~INtFP5B>O3R#gTI6z2ok=j`qJ0`bo14I29a;qKVP(bwec?AEWI&jRS`GZFUr?-4FNG#Tx}>?ZXA"
    "_w5-MBuHIlU1K@#1QZ_d<PaqMEK2^auk9Kb6!i!U=mQG}G)vxtp6(?k{o?ue@CpO={tN2E%=iri8U+j*7y91y_woSz4*u-)@&OnT@8`_$?b-(y4-"
    "pg-1r7%S9|H#g>Gvrj>go*|5hoe=69)_o>HiK9^ZEe>04*v8_XF+y5C8fA_5bPm4=We&^%?Q=6b<|P^#1(*^#cLf<|HT=9~}$`?(*de>gW>t>J}L"
    "QIWHpi+|%3tFeNPn`|ZTWComQ2#?9mlL>>zM805F;0t^}d*3AD!KJMZA2>;M0_`Dnw=guEfCj1cg1n>Gq3gh}DJ`)5gA?O+q_v7+0Ckgf}B<Ji4@"
    "Y^8%`R4EZ3d+0x_2&%;^!e-B^!f|`1mL#s@)|Vh{{jK^1PccC`3C_B*Z2JD1qBf>9{Bg;@BZ}h5CZ%J6ae+{?&<054gmNf_Uqp4=+)=&6aNGT5+x"
    "cj1Q!%1E(Z4_112BU-ZV4t@hThm3>O_777Z5e*a#=(_9+tZ^Zg0s0PyYc&Eov{^92P72m$;H@&N4i^85(=^bYCT-u(X!{Vy*P)9v}(=p=Ptweuzg"
    "0~jLdrs?b4>KH>Lp8hQQ3H#cC!4w1X`xf-FtmpOJ{tDRJE><Z97AF<Iq!%0x?hXhnTVEvd{0Ioqw<z)X7YYgwI!6)W-{IoY<{IPx3jhi1<qioP4d"
    "v3^_96rY@$&xo{R|EyCK~bs?)U`o2L=D}{qz9!{~7J{`ydAS"
)  # fmt: skip


def fitted_directions() -> torch.Tensor:
    """Decodes the directions, in the order of falling eigenvalues.

    Returns:
        `torch.FloatTensor` of shape `(NUM_DIRECTIONS, MOTION_SIZE)`.
    """
    values = torch.frombuffer(bytearray(base64.b85decode(VALUES)), dtype=torch.int8)
    return values.view(NUM_DIRECTIONS, MOTION_SIZE) * torch.tensor(SCALES)[:, None]
